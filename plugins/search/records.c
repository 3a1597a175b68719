/*
 * Records of indexes; see records.h.
 */
#include "records.h"

#include "common/fhir/types.h"

enum { TEXT_MAX = 16 * 1024 };

static const char *const states[] = { "building", "ready", "dropping" };
enum { STATES = sizeof(states) / sizeof(states[0]) };

andiron_str record_place_str(const struct record_place *place)
{
    return place->len > 0 ? (andiron_str){ place->text, place->len } : (andiron_str){ NULL, 0 };
}

int record_place_keep(struct record_place *place, andiron_str text, struct andiron_error *err)
{
    if (text.len > sizeof(place->text))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the store's cursor is too long");
    if (text.len > 0)
        memcpy(place->text, text.data, text.len);
    place->len = text.len;
    return 0;
}

int record_percent(const struct record *record)
{
    if (record->pass > 1)
        return 99;
    if (record->total <= 0 || record->done <= 0)
        return 0;
    /* Resources that were written meanwhile count, too. */
    return record->done >= record->total ? 99 : (int)(record->done * 99 / record->total);
}

/* ---- reading --------------------------------------------------------------------- */

static int state_of(andiron_str name, enum record_state *ret)
{
    for (int i = 0; i < STATES; i++)
        if (andiron_str_eq(name, andiron_str_of(states[i]))) {
            *ret = (enum record_state)i;
            return 0;
        }
    return -1;
}

static const char *const *types_of(struct andiron_arena *arena, andiron_json list)
{
    const char **types = andiron_alloc(arena, (andiron_json_count(list) + 1) * sizeof(*types));
    struct andiron_json_iter it = { .of = list };
    size_t count = 0;

    while (andiron_json_type(list) == ANDIRON_JSON_ARRAY && andiron_json_next(&it)) {
        int type = fhir_type(andiron_json_str(it.value));
        if (type >= 0)
            types[count++] = fhir_type_name(type);
    }
    return types;
}

struct record *record_read(struct andiron_arena *arena, const struct andiron_row *row)
{
    struct record *r = andiron_new(arena, struct record);
    andiron_json root;

    if (andiron_json_parse(arena, row->body, &root, NULL) != 0 ||
        state_of(andiron_json_str(andiron_json_get(root, "state")), &r->state) != 0 ||
        record_place_keep(&r->horizon, andiron_json_str(andiron_json_get(root, "horizon")), NULL) !=
            0 ||
        record_place_keep(&r->cursor, andiron_json_str(andiron_json_get(root, "cursor")), NULL) !=
            0)
        return NULL;
    r->id = andiron_copy(arena, row->ref.id);
    r->version = row->ref.version;
    r->updated = row->updated;
    r->term = andiron_copy(arena, andiron_json_str(andiron_json_get(root, "term")));
    r->types = types_of(arena, andiron_json_get(root, "types"));
    r->created = andiron_json_int(andiron_json_get(root, "created"), 0);
    r->pass = (int)andiron_json_int(andiron_json_get(root, "pass"), 1);
    r->done = andiron_json_int(andiron_json_get(root, "done"), 0);
    r->total = andiron_json_int(andiron_json_get(root, "total"), 0);
    r->since = andiron_json_int(andiron_json_get(root, "since"), 0);
    r->horizon_time = andiron_json_int(andiron_json_get(root, "horizonTime"), 0);
    return r->term[0] != '\0' ? r : NULL;
}

/* ---- writing ----------------------------------------------------------------------- */

static andiron_str text_of(struct andiron_arena *arena, const struct record *r)
{
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR(RECORDS_TYPE));
    andiron_json_put_str(w, "id", andiron_str_of(r->id));
    andiron_json_put_str(w, "state", andiron_str_of(states[r->state]));
    andiron_json_put_str(w, "term", andiron_str_of(r->term));
    andiron_json_put_array(w, "types");
    for (const char *const *type = r->types; *type != NULL; type++)
        andiron_json_put_str(w, NULL, andiron_str_of(*type));
    andiron_json_put_end(w);
    andiron_json_put_int(w, "created", r->created);
    andiron_json_put_int(w, "done", r->done);
    andiron_json_put_int(w, "total", r->total);
    if (r->state == RECORD_BUILDING) {
        andiron_json_put_int(w, "pass", r->pass);
        andiron_json_put_int(w, "since", r->since);
        andiron_json_put_int(w, "horizonTime", r->horizon_time);
        if (r->horizon.len > 0)
            andiron_json_put_str(w, "horizon", record_place_str(&r->horizon));
        if (r->cursor.len > 0)
            andiron_json_put_str(w, "cursor", record_place_str(&r->cursor));
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static void stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)arena;
    write->body = *(const andiron_str *)state;
}

struct andiron_write record_write(struct andiron_arena *arena, const struct record *record)
{
    andiron_str *text = andiron_new(arena, andiron_str);

    *text = text_of(arena, record);
    return (struct andiron_write){
        .ref = { .type = ANDIRON_STR(RECORDS_TYPE), .id = andiron_str_of(record->id) },
        .if_version = record->version,
        .if_absent = record->version == 0,
        .stamp = stamp,
        .stamp_state = text,
    };
}
