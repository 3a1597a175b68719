#include "compose.h"

#include "text.h"

struct work {
    const struct composing *how;
    struct draft *draft;
    struct text out;
    size_t hole_cap;
    const char *pos; /* source up to here has been dealt with */
};

/* ---- source text ------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void compose_compact(struct text *out, const char *from, const char *to)
{
    char *at = text_room(out, (size_t)(to - from));
    const char *run = from;
    bool in_string = false;

    for (const char *p = from; p < to; p++) {
        if (*p == '"') {
            in_string = !in_string;
        } else if (in_string) {
            if (*p == '\\')
                p++; /* whatever is escaped neither ends the string nor is a blank */
        } else if (is_blank(*p)) {
            memcpy(at, run, (size_t)(p - run));
            at += p - run;
            run = p + 1;
        }
    }
    memcpy(at, run, (size_t)(to - run));
    at += to - run;
    out->len = (size_t)(at - out->data);
}

const char *compose_member(const char *from)
{
    while (is_blank(*from) || *from == ',')
        from++;
    return from;
}

static const char *end_of(andiron_json v)
{
    andiron_str raw = andiron_json_raw(v);
    return raw.data + raw.len;
}

static void copy_until(struct work *w, const char *to)
{
    compose_compact(&w->out, w->pos, to);
    w->pos = to;
}

/* ---- holes ------------------------------------------------------------------------- */

static struct hole *put_hole(struct work *w, enum hole_kind kind)
{
    struct draft *d = w->draft;
    if (d->hole_count == w->hole_cap) {
        size_t cap = w->hole_cap > 0 ? w->hole_cap * 2 : 8;
        struct hole *holes = andiron_alloc(w->how->arena, cap * sizeof(holes[0]));
        if (d->hole_count > 0)
            memcpy(holes, d->holes, d->hole_count * sizeof(holes[0]));
        d->holes = holes;
        w->hole_cap = cap;
    }
    d->holes[d->hole_count] = (struct hole){ .at = w->out.len, .kind = kind };
    return &d->holes[d->hole_count++];
}

static void put_id(struct work *w, andiron_str id, bool may_change, size_t write)
{
    if (!may_change) {
        text_str(&w->out, id);
        return;
    }
    struct hole *hole = put_hole(w, HOLE_ID);
    hole->write = write;
    hole->planned = id;
}

/* ---- references --------------------------------------------------------------------- */

static void put_target(struct work *w, const struct rewrite_target *target)
{
    text_str(&w->out, target->type);
    TEXT_LIT(&w->out, "/");
    put_id(w, target->id, target->may_change, target->write);
    w->draft->rewritten = true;
}

static void rewrite_narrative(struct work *w, andiron_json v)
{
    andiron_str raw = andiron_json_raw(v);
    const struct rewrite_target *target;
    size_t pos = 0, from, to;
    bool begun = false;

    while ((target = rewrite_next_link(w->how->rewrites, raw, &pos, &from, &to)) != NULL) {
        if (!begun)
            copy_until(w, raw.data);
        begun = true;
        text_add(&w->out, w->pos,
                 (size_t)(raw.data + from - w->pos)); /* a string is not compacted */
        put_target(w, target);
        w->pos = raw.data + to;
    }
    if (!begun)
        return;
    text_add(&w->out, w->pos, (size_t)(raw.data + raw.len - w->pos));
    w->pos = raw.data + raw.len;
}

static void rewrite_string(struct work *w, andiron_str name, andiron_json v)
{
    andiron_str value = andiron_json_str(v), rest;
    if (andiron_str_eq(name, ANDIRON_STR("div"))) {
        rewrite_narrative(w, v);
        return;
    }
    const struct rewrite_target *target =
        rewrite_find(w->how->rewrites, name, value, &rest, w->how->arena);
    if (target == NULL)
        return;
    copy_until(w, andiron_json_raw(v).data);
    TEXT_LIT(&w->out, "\"");
    put_target(w, target);
    text_escaped(&w->out, rest);
    TEXT_LIT(&w->out, "\"");
    w->pos = end_of(v);
}

/* Rewrites references in a value; elements of an array go by the array's name. */
static void rewrite_value(struct work *w, andiron_str name, andiron_json v)
{
    struct andiron_json_iter it = { .of = v };

    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_OBJECT:
        while (andiron_json_next(&it))
            rewrite_value(w, it.name, it.value);
        break;
    case ANDIRON_JSON_ARRAY:
        while (andiron_json_next(&it))
            rewrite_value(w, name, it.value);
        break;
    case ANDIRON_JSON_STRING:
        rewrite_string(w, name, v);
        break;
    default:
        break;
    }
}

/* ---- meta ---------------------------------------------------------------------------- */

static void put_stamps(struct work *w)
{
    TEXT_LIT(&w->out, "{");
    if (w->how->type->platform) {
        TEXT_LIT(&w->out, "\"createdAt\":\"");
        (void)put_hole(w, HOLE_CREATED);
        TEXT_LIT(&w->out, "\",");
    }
    TEXT_LIT(&w->out, "\"versionId\":\"");
    (void)put_hole(w, HOLE_VERSION);
    TEXT_LIT(&w->out, "\",\"lastUpdated\":\"");
    (void)put_hole(w, HOLE_TIME);
    TEXT_LIT(&w->out, "\"");
}

static bool shows_creation(const struct work *w)
{
    return !w->how->type->platform && w->how->created_at_url.len > 0;
}

/* meta.extension with the creation time in front, and what the client sent behind it. */
static void put_extensions(struct work *w, andiron_json sent)
{
    struct andiron_json_iter it = { .of = sent };

    TEXT_LIT(&w->out, ",\"extension\":[{\"url\":");
    text_json(&w->out, w->how->created_at_url);
    TEXT_LIT(&w->out, ",\"valueInstant\":\"");
    (void)put_hole(w, HOLE_CREATED);
    TEXT_LIT(&w->out, "\"}");
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "url")),
                           w->how->created_at_url))
            continue; /* our own, sent back */
        TEXT_LIT(&w->out, ",");
        w->pos = andiron_json_raw(it.value).data;
        if (w->how->rewrites != NULL)
            rewrite_value(w, it.name, it.value);
        copy_until(w, end_of(it.value));
    }
    TEXT_LIT(&w->out, "]");
}

static bool is_managed(const struct work *w, andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("versionId")) ||
           andiron_str_eq(name, ANDIRON_STR("lastUpdated")) ||
           andiron_str_eq(name, ANDIRON_STR("_versionId")) ||
           andiron_str_eq(name, ANDIRON_STR("_lastUpdated")) ||
           (w->how->type->platform && andiron_str_eq(name, ANDIRON_STR("createdAt")));
}

/* meta as it is stored: ours first, then what the client sent, except what the server manages. */
static void put_meta(struct work *w, andiron_json sent)
{
    bool extensions_put = false;
    struct andiron_json_iter it = { .of = sent };
    const char *before = andiron_json_raw(sent).data;

    put_stamps(w);
    if (andiron_json_type(sent) == ANDIRON_JSON_OBJECT) {
        before++;
        for (; andiron_json_next(&it); before = end_of(it.value)) {
            if (is_managed(w, it.name))
                continue;
            if (shows_creation(w) && andiron_str_eq(it.name, ANDIRON_STR("extension"))) {
                put_extensions(w, it.value);
                extensions_put = true;
                continue;
            }
            TEXT_LIT(&w->out, ",");
            w->pos = compose_member(before);
            if (w->how->rewrites != NULL)
                rewrite_value(w, it.name, it.value);
            copy_until(w, end_of(it.value));
        }
    }
    if (shows_creation(w) && !extensions_put)
        put_extensions(w, (andiron_json){ NULL, 0 });
    TEXT_LIT(&w->out, "}");
}

/* ---- the whole ------------------------------------------------------------------------- */

static void put_missing(struct work *w)
{
    andiron_json none = { NULL, 0 };
    if (andiron_json_type(andiron_json_get(w->how->root, "id")) == ANDIRON_JSON_MISSING) {
        TEXT_LIT(&w->out, ",\"id\":\"");
        put_id(w, w->how->id, w->how->id_is_hole, w->how->write);
        TEXT_LIT(&w->out, "\"");
    }
    if (andiron_json_type(andiron_json_get(w->how->root, "meta")) == ANDIRON_JSON_MISSING) {
        TEXT_LIT(&w->out, ",\"meta\":");
        put_meta(w, none);
    }
}

static void put_members(struct work *w)
{
    struct andiron_json_iter it = { .of = w->how->root };

    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("resourceType"))) {
            copy_until(w, end_of(it.value));
            put_missing(w);
        } else if (andiron_str_eq(it.name, ANDIRON_STR("id"))) {
            copy_until(w, andiron_json_raw(it.value).data);
            TEXT_LIT(&w->out, "\"");
            put_id(w, w->how->id, w->how->id_is_hole, w->how->write);
            TEXT_LIT(&w->out, "\"");
            w->pos = end_of(it.value);
        } else if (andiron_str_eq(it.name, ANDIRON_STR("meta"))) {
            copy_until(w, andiron_json_raw(it.value).data);
            put_meta(w, it.value);
            w->pos = end_of(it.value);
        } else if (w->how->rewrites != NULL) {
            rewrite_value(w, it.name, it.value);
        }
    }
}

void compose(const struct composing *how, struct draft *ret)
{
    andiron_str raw = andiron_json_raw(how->root);
    struct work w = { .how = how, .draft = ret, .pos = raw.data };

    *ret = (struct draft){ .created = how->created };
    text_init(&w.out, how->arena, raw.len + how->id.len + how->created_at_url.len + 192);
    if (andiron_json_type(andiron_json_get(how->root, "resourceType")) == ANDIRON_JSON_MISSING) {
        TEXT_LIT(&w.out, "{\"resourceType\":");
        text_json(&w.out, how->type->str);
        w.pos = raw.data + 1;
        put_missing(&w);
        if (andiron_json_count(how->root) > 0)
            TEXT_LIT(&w.out, ",");
    }
    put_members(&w);
    copy_until(&w, raw.data + raw.len);
    ret->text = text_view(&w.out);
}

/* ---- stamping ---------------------------------------------------------------------------- */

static void put_instant(struct text *t, andiron_usec at)
{
    andiron_instant(at, text_room(t, ANDIRON_INSTANT_LEN));
    t->len += ANDIRON_INSTANT_LEN;
}

/* What the resource of a HOLE_ID is called in the end. */
static const struct andiron_ref *real(const struct draft *d, const struct hole *hole)
{
    return &d->writes[d->places != NULL ? d->places[hole->write] : hole->write].ref;
}

static andiron_str stamped(const struct draft *d, struct andiron_arena *arena, uint64_t version,
                           andiron_usec updated)
{
    struct text t;
    size_t from = 0;

    text_init(&t, arena, d->text.len + d->hole_count * 64 + 1);
    for (size_t i = 0; i < d->hole_count; i++) {
        const struct hole *hole = &d->holes[i];
        text_add(&t, d->text.data + from, hole->at - from);
        from = hole->at;
        switch (hole->kind) {
        case HOLE_VERSION:
            text_uint(&t, version);
            break;
        case HOLE_TIME:
            put_instant(&t, updated);
            break;
        case HOLE_CREATED:
            put_instant(&t, d->created != 0 && version > 1 ? d->created : updated);
            break;
        case HOLE_ID:
            text_str(&t, d->writes != NULL ? real(d, hole)->id : hole->planned);
            break;
        default:
            break;
        }
    }
    text_add(&t, d->text.data + from, d->text.len - from);
    return text_view(&t);
}

andiron_str compose_stamped(const struct draft *draft, struct andiron_arena *arena,
                            uint64_t version, andiron_usec updated)
{
    return stamped(draft, arena, version, updated);
}

/*
 * Terms were made with the planned ids: puts in those of the resources that conditions matched.
 * A commit may be run a second time, with another match: planned is what terms have now.
 */
static void settle_terms(struct draft *d, struct andiron_write *write)
{
    for (size_t i = 0; i < d->hole_count; i++) {
        struct hole *hole = &d->holes[i];
        if (hole->kind != HOLE_ID)
            continue;
        const struct andiron_ref *ref = real(d, hole);
        if (andiron_str_eq(ref->id, hole->planned))
            continue;
        struct andiron_term *terms = (struct andiron_term *)(uintptr_t)write->terms;
        for (size_t j = 0; j < write->term_count; j++)
            if (terms[j].kind == ANDIRON_TERM_REFERENCE &&
                andiron_str_eq(terms[j].system, ref->type) &&
                andiron_str_eq(terms[j].text, hole->planned))
                terms[j].text = ref->id;
        hole->planned = ref->id;
    }
}

void compose_stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    struct draft *d = state;

    if (d->writes != NULL)
        settle_terms(d, write);
    write->body = stamped(d, arena, write->ref.version, write->updated);
}
