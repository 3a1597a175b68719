/*
 * Documents of a search's terminology: which are wanted, and how they are asked for.
 */
#include "terminology.h"

#include "common/fhir/fold.h"
#include "common/fhir/references.h"

static int unusable(struct compiling *c, const struct document *d)
{
    switch (d->state) {
    case DOCUMENT_ABSENT:
        return compile_fail(c, "there is no %s \"%.*s\" here", d->type, SHOWN(d->name));
    case DOCUMENT_AMBIGUOUS:
        return compile_fail(c, "there are several %ss \"%.*s\" here: name one, as in url|version",
                            d->type, SHOWN(d->name));
    default:
        return compile_fail(c, "%s \"%.*s\" cannot be used: %s", d->type, SHOWN(d->name),
                            d->error.message);
    }
}

int terminology_get(struct compiling *c, const char *type, andiron_str name, struct document **ret)
{
    struct terminology *t = c->terminology;
    struct document **link;

    if (t == NULL || c->narrowing_depth > 0)
        return compile_fail(c, "stored %ss cannot be asked about here", type);
    for (link = &t->first; *link != NULL; link = &(*link)->next) {
        if (strcmp((*link)->type, type) != 0 || !andiron_str_eq((*link)->name, name))
            continue;
        *ret = (*link)->state == DOCUMENT_READ ? *link : NULL;
        return *ret != NULL || (*link)->state == DOCUMENT_WANTED ? 0 : unusable(c, *link);
    }
    if (t->count == c->limits->max_sets)
        return compile_fail(c, "a search may ask about %lld ValueSets and CodeSystems at most",
                            (long long)c->limits->max_sets);
    *link = andiron_new(c->arena, struct document);
    (*link)->type = type;
    (*link)->name = name;
    t->count++;
    t->is_lacking = true;
    *ret = NULL;
    return 0;
}

/* url, and version if the name has one. */
static int by_url(struct compiling *c, const struct search_type *type, andiron_str name,
                  struct list *ret)
{
    struct fhir_param url, version;
    const char *bar = memrchr(name.data, '|', name.len);
    size_t len = bar != NULL ? (size_t)(bar - name.data) : name.len;
    andiron_str of_version = { name.data + len, name.len - len };

    if (!model_param(type, ANDIRON_STR("url"), &url) ||
        !model_param(type, ANDIRON_STR("version"), &version))
        return compile_fail(c, "%ss cannot be searched by url here", type->name);
    struct operand o = { .type = type, .param = &url, .name = url.term };
    struct andiron_filter *f = filter_term(c, &o, ANDIRON_TERM_URI, ANDIRON_CMP_EQ);
    f->term.text = (andiron_str){ name.data, len };
    list_add(c, ret, f);
    if (of_version.len < 2)
        return 0;
    of_version = (andiron_str){ of_version.data + 1, of_version.len - 1 };
    o = (struct operand){ .type = type, .param = &version, .name = version.term };
    f = filter_term(c, &o, ANDIRON_TERM_TOKEN, ANDIRON_CMP_EQ);
    f->term.text = version.is_caseless ? fhir_caseless(c->arena, of_version) : of_version;
    list_add(c, ret, f);
    return 0;
}

int terminology_query(struct compiling *c, const struct document *document,
                      struct andiron_query *ret)
{
    struct fhir_reference ref = fhir_reference_parse(document->name, c->base);
    const struct andiron_filter *narrowing;
    struct list all = { NULL };
    struct search_type type;

    if (!model_type(c->model, andiron_str_of(document->type), &type))
        return compile_fail(c, "there are no %ss here", document->type);
    if (ref.kind == FHIR_REFERENCE_LOCAL && andiron_str_eq(ref.type, andiron_str_of(type.name)))
        list_add(c, &all, filter_id(c, ref.id));
    else if (ref.kind != FHIR_REFERENCE_URL)
        return compile_fail(c, "a %s is named by its canonical URL or \"%s/id\", not \"%.*s\"",
                            type.name, type.name, SHOWN(document->name));
    else if (by_url(c, &type, document->name, &all) != 0)
        return -1;
    if (narrow(c, &type, ANDIRON_ACCESS_SEARCH, &narrowing) != 0)
        return -1;
    if (narrowing != NULL)
        list_add(c, &all, narrowing);
    *ret = (struct andiron_query){ .type = type.name,
                                   .filter = filter_of(c, ANDIRON_FILTER_AND, &all),
                                   .limit = 2 }; /* one is it, two are too many */
    return 0;
}
