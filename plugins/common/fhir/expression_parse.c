/*
 * Expressions of search parameters: text to syntax tree, by recursive descent. See expression.h.
 */
#include "expression.h"
#include "expression_tree.h"

enum { DEPTH_MAX = 32, INDEX_MAX = 1000 };

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_LITERAL, TOKEN_NUMBER, TOKEN_SIGN, TOKEN_BAD };

struct token {
    enum token_kind kind;
    andiron_str text; /* of a literal: without quotes */
    size_t at;        /* where it begins, in bytes */
};

struct parser {
    struct andiron_arena *arena;
    andiron_str text;
    size_t next; /* behind the token */
    struct token token;
    int depth;
    struct andiron_error *err;
};

/* ---- tokens ------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '%' || c == '$';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Length of the sign at the beginning of a text; what is no sign of the subset is a token of one. */
static size_t sign_length(const char *at, size_t left)
{
    return left > 1 && at[1] == '=' && memchr("!<>", at[0], 3) != NULL ? 2 : 1;
}

static size_t literal_length(const char *at, size_t left)
{
    size_t len = 1;
    while (len < left && at[len] != at[0])
        len++;
    return len < left ? len + 1 : 0;
}

static void advance(struct parser *p)
{
    const char *data = p->text.data;
    size_t end = p->text.len, at = p->next;

    while (at < end && is_space(data[at]))
        at++;
    p->token = (struct token){ TOKEN_END, { data + at, 0 }, at };
    p->next = at;
    if (at == end)
        return;
    size_t len = 1;
    if (is_name_start(data[at])) {
        while (at + len < end && (is_name_start(data[at + len]) || is_digit(data[at + len])))
            len++;
        p->token.kind = TOKEN_NAME;
    } else if (is_digit(data[at])) {
        while (at + len < end && is_digit(data[at + len]))
            len++;
        p->token.kind = TOKEN_NUMBER;
    } else if (data[at] == '\'' || data[at] == '`') {
        len = literal_length(data + at, end - at);
        p->token.kind = len == 0 ? TOKEN_BAD : data[at] == '`' ? TOKEN_NAME : TOKEN_LITERAL;
        p->token.text = (andiron_str){ data + at + 1, len > 1 ? len - 2 : 0 };
        p->next = at + (len > 0 ? len : 1);
        return;
    } else {
        len = sign_length(data + at, end - at);
        p->token.kind = TOKEN_SIGN;
    }
    p->token.text.len = len;
    p->next = at + len;
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == TOKEN_SIGN && andiron_str_eq(p->token.text, andiron_str_of(sign));
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token.kind == TOKEN_NAME && andiron_str_eq(p->token.text, andiron_str_of(word));
}

/* ---- trees ------------------------------------------------------------------- */

static const struct fhir_tree *expected(struct parser *p, const char *what)
{
    andiron_str found = p->token.text;
    if (p->token.kind == TOKEN_END)
        (void)andiron_error_set(p->err, ANDIRON_E_UNPROCESSABLE, "", "%s is expected at its end",
                                what);
    else if (p->token.kind == TOKEN_BAD)
        (void)andiron_error_set(p->err, ANDIRON_E_UNPROCESSABLE, "",
                                "the quote at character %zu has no end", p->token.at + 1);
    else
        (void)andiron_error_set(
            p->err, ANDIRON_E_UNPROCESSABLE, "", "%s is expected at character %zu, not \"%.*s\"",
            what, p->token.at + 1, (int)(found.len < 40 ? found.len : 40), found.data);
    return NULL;
}

static struct fhir_tree *tree_new(struct parser *p, enum fhir_tree_op op,
                                  const struct fhir_tree *of)
{
    struct fhir_tree *tree = andiron_new(p->arena, struct fhir_tree);
    tree->op = op;
    tree->of = of;
    return tree;
}

static bool take(struct parser *p, const char *sign)
{
    char what[8] = { '"', sign[0], '"', '\0' };
    if (!is_sign(p, sign)) {
        (void)expected(p, what);
        return false;
    }
    advance(p);
    return true;
}

static const struct fhir_tree *parse_union(struct parser *p);
static const struct fhir_tree *parse_and(struct parser *p);

/* as(Type), ofType(Type). */
static const struct fhir_tree *cast_call(struct parser *p, const struct fhir_tree *of)
{
    struct fhir_tree *tree = tree_new(p, FHIR_TREE_AS, of);
    if (p->token.kind != TOKEN_NAME && p->token.kind != TOKEN_LITERAL)
        return expected(p, "the name of a type");
    tree->text = p->token.text;
    advance(p);
    if (!is_sign(p, "."))
        return tree;
    advance(p); /* FHIR.Quantity */
    if (p->token.kind != TOKEN_NAME)
        return expected(p, "the name of a type");
    tree->text = p->token.text;
    advance(p);
    return tree;
}

/* extension('url') is extension.where(url = 'url'). */
static const struct fhir_tree *extension_call(struct parser *p, const struct fhir_tree *of)
{
    struct fhir_tree *member = tree_new(p, FHIR_TREE_MEMBER, of);
    struct fhir_tree *url = tree_new(p, FHIR_TREE_MEMBER, tree_new(p, FHIR_TREE_START, NULL));
    struct fhir_tree *eq = tree_new(p, FHIR_TREE_EQ, url);
    struct fhir_tree *where = tree_new(p, FHIR_TREE_WHERE, member);

    if (p->token.kind != TOKEN_LITERAL)
        return expected(p, "the url of an extension in quotes");
    member->text = ANDIRON_STR("extension");
    url->text = ANDIRON_STR("url");
    eq->text = p->token.text;
    where->with = eq;
    advance(p);
    return where;
}

/* Behind "name(", up to the parenthesis. */
static const struct fhir_tree *arguments(struct parser *p, const struct fhir_tree *of,
                                         const struct token *name)
{
    struct fhir_tree *tree;

    if (andiron_str_eq(name->text, ANDIRON_STR("where"))) {
        tree = tree_new(p, FHIR_TREE_WHERE, of);
        tree->with = parse_and(p);
        return tree->with != NULL ? tree : NULL;
    }
    if (andiron_str_eq(name->text, ANDIRON_STR("as")) ||
        andiron_str_eq(name->text, ANDIRON_STR("ofType")))
        return cast_call(p, of);
    if (andiron_str_eq(name->text, ANDIRON_STR("extension")))
        return extension_call(p, of);
    if (andiron_str_eq(name->text, ANDIRON_STR("exists")))
        return tree_new(p, FHIR_TREE_EXISTS, of);
    if (andiron_str_eq(name->text, ANDIRON_STR("resolve")))
        return tree_new(p, FHIR_TREE_RESOLVE, of);
    if (andiron_str_eq(name->text, ANDIRON_STR("first")))
        return tree_new(p, FHIR_TREE_INDEX, of);
    (void)andiron_error_set(p->err, ANDIRON_E_UNPROCESSABLE, "",
                            "the function %.*s() at character %zu is not supported here; there are "
                            "where(), as(), ofType(), extension(), exists(), resolve() and first()",
                            (int)(name->text.len < 40 ? name->text.len : 40), name->text.data,
                            name->at + 1);
    return NULL;
}

static const struct fhir_tree *member(struct parser *p, const struct fhir_tree *of)
{
    struct token name = p->token;

    if (name.kind != TOKEN_NAME)
        return expected(p, "a name");
    advance(p);
    if (!is_sign(p, "(")) {
        struct fhir_tree *tree = tree_new(p, FHIR_TREE_MEMBER, of);
        tree->text = name.text;
        return tree;
    }
    advance(p);
    const struct fhir_tree *tree = arguments(p, of, &name);
    return tree != NULL && take(p, ")") ? tree : NULL;
}

static const struct fhir_tree *index_of(struct parser *p, const struct fhir_tree *of)
{
    struct fhir_tree *tree = tree_new(p, FHIR_TREE_INDEX, of);
    unsigned index = 0;

    if (p->token.kind != TOKEN_NUMBER)
        return expected(p, "a whole number");
    for (size_t i = 0; i < p->token.text.len && index <= INDEX_MAX; i++)
        index = index * 10 + (unsigned)(p->token.text.data[i] - '0');
    if (index > INDEX_MAX)
        return expected(p, "a number up to 1000");
    tree->index = (uint16_t)index;
    advance(p);
    return take(p, "]") ? tree : NULL;
}

static const struct fhir_tree *path(struct parser *p)
{
    const struct fhir_tree *tree;

    if (is_sign(p, "(")) {
        advance(p);
        tree = parse_union(p);
        if (tree == NULL || !take(p, ")"))
            return NULL;
    } else {
        tree = member(p, tree_new(p, FHIR_TREE_START, NULL));
    }
    while (tree != NULL) {
        if (is_sign(p, ".")) {
            advance(p);
            tree = member(p, tree);
        } else if (is_sign(p, "[")) {
            advance(p);
            tree = index_of(p, tree);
        } else {
            return tree;
        }
    }
    return NULL;
}

/* "a as T", "a is T". */
static const struct fhir_tree *cast(struct parser *p)
{
    const struct fhir_tree *tree = path(p);
    while (tree != NULL && (is_word(p, "as") || is_word(p, "is"))) {
        bool is_test = is_word(p, "is");
        advance(p);
        tree = cast_call(p, tree);
        if (tree != NULL && is_test) {
            struct fhir_tree *test = tree_new(p, FHIR_TREE_IS, tree->of);
            test->text = tree->text;
            tree = test;
        }
    }
    return tree;
}

static const struct fhir_tree *compare(struct parser *p)
{
    const struct fhir_tree *of = cast(p);
    if (of == NULL || (!is_sign(p, "=") && !is_sign(p, "!=")))
        return of;
    struct fhir_tree *tree = tree_new(p, is_sign(p, "=") ? FHIR_TREE_EQ : FHIR_TREE_NE, of);
    advance(p);
    if (p->token.kind != TOKEN_LITERAL && p->token.kind != TOKEN_NAME)
        return expected(p, "a literal");
    tree->text = p->token.text;
    advance(p);
    return tree;
}

/* Parentheses and where() lead here again: the depth is counted here. */
static const struct fhir_tree *parse_and(struct parser *p)
{
    if (p->depth == DEPTH_MAX) {
        (void)andiron_error_set(p->err, ANDIRON_E_UNPROCESSABLE, "",
                                "it has more than %d parentheses within each other", DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    const struct fhir_tree *left = compare(p);
    while (left != NULL && is_word(p, "and")) {
        struct fhir_tree *tree = tree_new(p, FHIR_TREE_AND, left);
        advance(p);
        tree->with = compare(p);
        left = tree->with != NULL ? tree : NULL;
    }
    p->depth--;
    return left;
}

static const struct fhir_tree *parse_union(struct parser *p)
{
    const struct fhir_tree *left = parse_and(p);
    while (left != NULL && is_sign(p, "|")) {
        struct fhir_tree *tree = tree_new(p, FHIR_TREE_UNION, left);
        advance(p);
        tree->with = parse_and(p);
        left = tree->with != NULL ? tree : NULL;
    }
    return left;
}

const struct fhir_tree *fhir_expression_parse(struct andiron_arena *arena, andiron_str text,
                                              struct andiron_error *err)
{
    struct parser p = { .arena = arena, .text = text, .err = err };

    if (text.len == 0 || text.len > FHIR_EXPRESSION_MAX) {
        (void)andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "",
                                "it must have 1 to %d bytes, not %zu", FHIR_EXPRESSION_MAX,
                                text.len);
        return NULL;
    }
    advance(&p);
    const struct fhir_tree *tree = parse_union(&p);
    if (tree != NULL && p.token.kind != TOKEN_END)
        return expected(&p, "nothing more, \".\", \"|\", \"as\" or \"and\"");
    return tree;
}
