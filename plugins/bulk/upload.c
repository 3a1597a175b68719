#include "upload.h"

#include <stdlib.h>

#include "common/fhir/ids.h"
#include "common/fhir/types.h"

/* ---- lines ------------------------------------------------------------------------------------- */

void upload_free(struct upload *u)
{
    bytes_free(&u->in);
}

/* Part of a line. Of one that is too long no more is kept than shows that it is. */
static void add_part(struct upload *u, const char *data, size_t len)
{
    size_t room = u->limits.line + 1 - u->tail;
    size_t kept = len < room ? len : room;

    bytes_add(&u->in, data, kept);
    u->tail += kept;
}

void upload_add(struct upload *u, andiron_str piece)
{
    const char *at = piece.data, *end = piece.data + piece.len, *stop;

    u->received += piece.len;
    while (at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        add_part(u, at, (size_t)(stop - at));
        bytes_add(&u->in, "\n", 1);
        u->tail = 0;
        u->line_count++;
        at = stop + 1;
    }
    if (at < end)
        add_part(u, at, (size_t)(end - at));
}

void upload_end(struct upload *u)
{
    u->has_ended = true;
    if (u->tail == 0)
        return;
    bytes_add(&u->in, "\n", 1); /* the last line need not have an end */
    u->tail = 0;
    u->line_count++;
}

bool upload_has_batch(const struct upload *u)
{
    if (u->line_count == 0)
        return false;
    return u->has_ended || u->line_count >= u->limits.rows || u->in.len - u->at >= u->limits.bytes;
}

/* Without what was taken. */
static void compact(struct upload *u)
{
    if (u->at > 0 && u->in.len > u->at)
        memmove(u->in.data, u->in.data + u->at, u->in.len - u->at);
    u->in.len -= u->at;
    u->at = 0;
}

/* ---- what a line is ------------------------------------------------------------------------------ */

static bool is_blank(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != ' ' && text.data[i] != '\t' && text.data[i] != '\r')
            return false;
    return true;
}

static int check_type(struct upload_line *line, andiron_json root, andiron_str *ret_type)
{
    andiron_str type = andiron_json_str(andiron_json_get(root, "resourceType"));

    if (andiron_json_type(root) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(&line->wrong, ANDIRON_E_STRUCTURE, "",
                                 "a line must be a JSON object, which is a resource");
    line->type = fhir_type(type);
    if (type.len == 0)
        return andiron_error_set(&line->wrong, ANDIRON_E_INVALID, "resourceType", "is missing");
    if (line->type < 0)
        return andiron_error_set(&line->wrong, ANDIRON_E_INVALID, "resourceType",
                                 "'%.*s' is no resource type of FHIR R4; others are not imported",
                                 (int)(type.len < 64 ? type.len : 64), type.data);
    *ret_type = andiron_str_of(fhir_type_name(line->type));
    return 0;
}

static int check_id(const struct upload *u, struct upload_line *line, andiron_json root,
                    andiron_str *ret_id)
{
    andiron_json member = andiron_json_get(root, "id");

    *ret_id = andiron_json_str(member);
    if (andiron_json_type(member) == ANDIRON_JSON_MISSING && u->limits.makes_ids)
        return 0;
    if (andiron_json_type(member) == ANDIRON_JSON_MISSING)
        return andiron_error_set(&line->wrong, ANDIRON_E_INVALID, "id",
                                 "is missing: a repeat would make the resource twice; give it an "
                                 "id, or say _create=true");
    if (!fhir_is_id(*ret_id))
        return andiron_error_set(&line->wrong, ANDIRON_E_VALUE, "id",
                                 "must be 1 to 64 letters, digits, '-' and '.'");
    return 0;
}

enum { DEPTH_TRIED = 4096, BUNDLE_DEPTH = 3 }; /* the Bundle, its entries, the entry */

size_t upload_depth(void)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    char *text = andiron_alloc(arena, (size_t)2 * DEPTH_TRIED);
    struct andiron_error err;
    andiron_json root;
    size_t known = 0;

    for (size_t n = 1; n <= DEPTH_TRIED; known = n, n *= 2) {
        memset(text, '[', n);
        memset(text + n, ']', n);
        if (andiron_json_parse(arena, (andiron_str){ text, 2 * n }, &root, &err) != 0)
            break;
    }
    andiron_arena_free(arena);
    return known;
}

/*
 * A line at the limit of nesting is too deep in a Bundle, which would be refused with all its lines. What
 * cannot be that deep is not looked at closely.
 */
static int check_depth(const struct upload *u, struct upload_line *line, andiron_str text,
                       struct andiron_arena *scratch)
{
    size_t opened = BUNDLE_DEPTH;
    struct andiron_error err;
    andiron_json root;

    for (size_t i = 0; i < text.len; i++)
        opened += (text.data[i] | 0x20) == '{'; /* or '[' */
    if (opened <= u->limits.depth)
        return 0;
    const char *within =
        andiron_printf(scratch, "[[[%.*s]]]", (int)text.len, text.len > 0 ? text.data : "");
    if (andiron_json_parse(scratch, (andiron_str){ within, text.len + 2 * BUNDLE_DEPTH }, &root,
                           &err) == 0)
        return 0;
    return andiron_error_set(&line->wrong, ANDIRON_E_STRUCTURE, "",
                             "the resource is nested too deeply for a batch: %s", err.message);
}

/* The resource of a line, as an entry of the Bundle. -1: line->wrong. */
static int read_line(const struct upload *u, struct upload_line *line, andiron_str text,
                     struct andiron_arena *names, struct andiron_arena *scratch,
                     andiron_str *ret_resource)
{
    andiron_json root;
    andiron_str type, id;

    line->type = -1;
    if (text.len > u->limits.line)
        return andiron_error_set(&line->wrong, ANDIRON_E_TOO_LARGE, "",
                                 "the line is longer than %zu bytes", u->limits.line);
    if (andiron_json_parse(scratch, text, &root, &line->wrong) != 0 ||
        check_type(line, root, &type) != 0 || check_depth(u, line, text, scratch) != 0)
        return -1;
    line->name = type;
    if (check_id(u, line, root, &id) != 0)
        return -1;
    if (id.len > 0)
        line->name = andiron_str_of(
            andiron_printf(names, "%.*s/%.*s", (int)type.len, type.data, (int)id.len, id.data));
    *ret_resource = andiron_json_raw(root);
    return 0;
}

/* ---- batches --------------------------------------------------------------------------------------- */

/* What a batch has names of. Two names of one hash only end a batch early. */
struct upload_names {
    uint64_t *slots; /* 0: free */
    size_t mask;
};

static struct upload_names *names_new(struct andiron_arena *arena, size_t most)
{
    size_t room = 16;

    while (room < most * 2)
        room *= 2;
    struct upload_names *n = andiron_new(arena, struct upload_names);
    *n = (struct upload_names){ andiron_alloc(arena, room * sizeof(uint64_t)), room - 1 };
    return n;
}

/* FNV-1a, never 0. */
static uint64_t hash_of(andiron_str name)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * 1099511628211u;
    return hash != 0 ? hash : 1;
}

/* Its place, or the free one for it. */
static size_t names_find(const struct upload_names *n, uint64_t hash)
{
    size_t at = (size_t)hash & n->mask;

    while (n->slots[at] != 0 && n->slots[at] != hash)
        at = (at + 1) & n->mask;
    return at;
}

/* What takes lines, on its way. */
struct taking {
    struct upload *u;
    struct andiron_arena *arena, *scratch;
    struct upload_names *names;
    const struct upload_batch *const *others;
    size_t other_count;
    struct bytes *out;
    struct upload_batch *batch;
};

/* false: the batch has it already, or another that is at work. */
static bool claim_name(struct taking *t, andiron_str name)
{
    uint64_t hash = hash_of(name);
    size_t at = names_find(t->names, hash);

    if (t->names->slots[at] == hash)
        return false;
    for (size_t i = 0; i < t->other_count; i++) {
        const struct upload_names *other = t->others[i]->names;
        if (other->slots[names_find(other, hash)] == hash)
            return false;
    }
    t->names->slots[at] = hash;
    return true;
}

static void add_text(struct bytes *out, andiron_str text)
{
    bytes_add(out, text.data, text.len);
}

/* An entry, and where it stands. */
static void add_entry(struct bytes *out, struct upload_line *line, andiron_str resource,
                      bool is_first, bool has_id)
{
    if (!is_first)
        add_text(out, ANDIRON_STR(","));
    line->entry = out->len;
    add_text(out, ANDIRON_STR("{\"resource\":"));
    add_text(out, resource);
    add_text(out, has_id ? ANDIRON_STR(",\"request\":{\"method\":\"PUT\",\"url\":\"")
                         : ANDIRON_STR(",\"request\":{\"method\":\"POST\",\"url\":\""));
    add_text(out, line->name);
    add_text(out, ANDIRON_STR("\"}}"));
    line->entry_len = out->len - line->entry;
}

/* Takes the line at u->at into the batch; false: it belongs to a later one. */
static bool take_line(struct taking *t)
{
    struct upload *u = t->u;
    struct upload_batch *batch = t->batch;
    const char *begin = u->in.data + u->at;
    const char *end = memchr(begin, '\n', u->in.len - u->at);
    andiron_str text = { begin, (size_t)(end - begin) }, resource;
    struct upload_line *line = &batch->lines[batch->count];

    *line = (struct upload_line){ .number = u->line + 1 };
    if (!is_blank(text) && read_line(u, line, text, t->arena, t->scratch, &resource) == 0) {
        bool has_id = memchr(line->name.data, '/', line->name.len) != NULL;
        if (has_id && !claim_name(t, line->name))
            return false;
        add_entry(t->out, line, resource, batch->sent == 0, has_id);
        line->is_sent = true;
        batch->sent++;
    }
    batch->count += line->is_sent || line->wrong.code != ANDIRON_OK;
    u->at += text.len + 1;
    u->line++;
    u->line_count--;
    return true;
}

static const char bundle_begin[] = "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[";

void upload_take(struct upload *u, struct andiron_arena *arena, struct bytes *out,
                 const struct upload_batch *const *others, size_t other_count,
                 struct upload_batch *ret)
{
    struct taking t = { .u = u,
                        .arena = arena,
                        .scratch = andiron_arena_new(0),
                        .names = names_new(arena, u->limits.rows),
                        .others = others,
                        .other_count = other_count,
                        .out = out,
                        .batch = ret };
    size_t begun = u->at;
    uint64_t before = u->line;

    *ret = (struct upload_batch){ .lines =
                                      andiron_alloc(arena, u->limits.rows * sizeof(ret->lines[0])),
                                  .names = t.names };
    out->len = 0;
    add_text(out, ANDIRON_STR(bundle_begin));
    while (u->line_count > 0 && ret->count < u->limits.rows && u->at - begun < u->limits.bytes &&
           take_line(&t))
        continue;
    add_text(out, ANDIRON_STR("]}"));
    ret->bundle = (andiron_str){ out->data, out->len };
    ret->last = u->line;
    ret->is_kept = u->line == before;
    andiron_arena_free(t.scratch);
    compact(u);
}

andiron_str upload_again(const struct upload_batch *batch, struct bytes *out)
{
    out->len = 0;
    add_text(out, ANDIRON_STR(bundle_begin));
    for (size_t i = 0, count = 0; i < batch->count; i++) {
        const struct upload_line *line = &batch->lines[i];
        if (!upload_is_open(line))
            continue;
        if (count++ > 0)
            add_text(out, ANDIRON_STR(","));
        bytes_add(out, batch->bundle.data + line->entry, line->entry_len);
    }
    add_text(out, ANDIRON_STR("]}"));
    return (andiron_str){ out->data, out->len };
}
