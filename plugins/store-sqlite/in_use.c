/*
 * ix_token has the rows of a parameter in the order of the values' numbers, and of each value in
 * that of versions: from one value to the next is one step down the tree, however many have it.
 */
#include "in_use.h"

#include <stdlib.h>

#include "common/store/body.h"
#include "lookup.h"

/* Of a code with a system: one with it, and one without. */
enum { NUMBERS_EACH = 2 };

struct looking {
    struct search_place *place;
    struct andiron_error *error; /* code ANDIRON_OK: db->rc */
    int64_t *vids;
    size_t count, room;
    size_t left; /* numbers that may still be looked at */
    bool more;
};

static void note(struct looking *l, int64_t vid)
{
    if (l->count == l->room) {
        size_t room = l->room * 2 + 64;
        int64_t *vids = andiron_alloc(l->place->arena, room * sizeof(vids[0]));
        if (l->count > 0)
            memcpy(vids, l->vids, l->count * sizeof(vids[0]));
        l->vids = vids;
        l->room = room;
    }
    l->vids[l->count++] = vid;
}

static int look_at_param(struct looking *l, int64_t p)
{
    sqlite3_stmt *s = db_statement(l->place->db, DB_TOKEN_BELOW);
    int64_t from = INT64_MAX;

    if (s == NULL)
        return -1;
    for (;;) {
        sqlite3_bind_int64(s, 1, p);
        sqlite3_bind_int64(s, 2, from);
        int found = db_step(l->place->db, s);
        int64_t h = found == 1 ? sqlite3_column_int64(s, 0) : 0;
        int64_t vid = found == 1 ? sqlite3_column_int64(s, 1) : 0;
        sqlite3_reset(s);
        if (found != 1)
            return found;
        if (l->left == 0) {
            l->more = true;
            return 0;
        }
        l->left--;
        note(l, vid);
        if (h == INT64_MIN)
            return 0;
        from = h - 1;
    }
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void drop_repeats(struct looking *l)
{
    size_t kept = 0;

    if (l->count > 0)
        qsort(l->vids, l->count, sizeof(l->vids[0]), compare);
    for (size_t i = 0; i < l->count; i++)
        if (i == 0 || l->vids[i] != l->vids[i - 1])
            l->vids[kept++] = l->vids[i];
    l->count = kept;
}

/* Shows the version with its resource's name; views into two statements. */
static int show_named(struct looking *l, int64_t rid, struct andiron_row *row,
                      const struct andiron_visitor *visitor, bool *ret_goes_on)
{
    sqlite3_stmt *s = db_statement(l->place->db, DB_RESOURCE);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, rid);
    int found = db_step(l->place->db, s);
    if (found == 1) {
        row->ref.type = names_of_type(l->place->store->names, sqlite3_column_int64(s, 0));
        row->ref.id = db_str(s, 1);
        *ret_goes_on = visitor->row(visitor->state, row);
    } else if (found == 0) {
        l->place->db->rc = SQLITE_CORRUPT;
    }
    sqlite3_reset(s);
    return found == 1 ? 0 : -1;
}

static int show(struct looking *l, int64_t vid, const struct andiron_visitor *visitor,
                bool *ret_goes_on)
{
    struct db *db = l->place->db;
    sqlite3_stmt *s = db_statement(db, DB_VERSION);
    int rc = -1;

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, vid);
    int found = db_step(db, s);
    if (found == 1) {
        struct andiron_row row = { .ref.version = (uint64_t)sqlite3_column_int64(s, 2),
                                   .updated = sqlite3_column_int64(s, 3),
                                   .body = db_str(s, 7) };
        if (body_check(sqlite3_column_int64(s, 5), row.body, l->error) == 0)
            rc = show_named(l, sqlite3_column_int64(s, 0), &row, visitor, ret_goes_on);
    } else if (found == 0) {
        db->rc = SQLITE_CORRUPT; /* an index row of nothing */
    }
    sqlite3_reset(s);
    return rc;
}

static int look(struct looking *l, const char *const *types, const char *const *params)
{
    struct names *names = l->place->store->names;

    for (; *types != NULL; types++) {
        int64_t type, p;
        uint32_t kinds;
        if (names_find_type(names, l->place->db, andiron_str_of(*types), &type) != 0)
            return -1;
        for (size_t i = 0; type != 0 && params[i] != NULL; i++)
            if (names_find_param(names, l->place->db, type, andiron_str_of(params[i]), &p,
                                 &kinds) != 0 ||
                (p != 0 && look_at_param(l, p) != 0))
                return -1;
    }
    return 0;
}

int in_use_run(struct search_place *place, const char *const *types, const char *const *params,
               size_t limit, const struct andiron_visitor *visitor, struct andiron_rows *rows)
{
    struct andiron_error error = { .code = ANDIRON_OK };
    struct looking l = { .place = place,
                         .error = &error,
                         .left =
                             limit < SIZE_MAX / NUMBERS_EACH ? limit * NUMBERS_EACH : SIZE_MAX };
    bool goes_on = true;
    int rc = look(&l, types, params);

    *rows = (struct andiron_rows){ .total = -1 };
    drop_repeats(&l);
    for (size_t i = 0; rc == 0 && goes_on && i < l.count; i++)
        rc = show(&l, l.vids[i], visitor, &goes_on);
    if (rc == 0) {
        rows->cursor = l.more ? ANDIRON_STR("more") : (andiron_str){ NULL, 0 };
        return 0;
    }
    if (error.code == ANDIRON_OK)
        db_error(place->db, &error);
    *rows = (struct andiron_rows){ .error = error, .total = -1 };
    return -1;
}
