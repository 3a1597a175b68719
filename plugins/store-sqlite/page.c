/*
 * Making rows; see page.h. Bodies are copied once, into the request's arena.
 */
#include "page.h"

#include "common/store/body.h"
#include "lookup.h"

int page_body(struct andiron_arena *arena, int64_t encoding, sqlite3_stmt *s, int column,
              andiron_str *ret, struct andiron_error *err)
{
    andiron_str body = db_str(s, column);

    if (body_check(encoding, body, err) != 0)
        return -1;
    *ret = (andiron_str){ andiron_copy(arena, body), body.len };
    return 0;
}

static void grow(struct run *run, struct page *page)
{
    size_t room = page->room * 2 + 16;
    struct andiron_row *rows = andiron_alloc(run->arena, room * sizeof(rows[0]));
    int64_t *numbers = andiron_alloc(run->arena, 2 * room * sizeof(numbers[0]));

    if (page->count != 0) {
        memcpy(rows, page->rows, page->count * sizeof(rows[0]));
        memcpy(numbers, page->vids, page->count * sizeof(numbers[0]));
        memcpy(numbers + room, page->rids, page->count * sizeof(numbers[0]));
    }
    page->rows = rows;
    page->vids = numbers;
    page->rids = numbers + room;
    page->room = room;
}

int page_add(struct run *run, struct page *page, const struct candidate *c, bool included)
{
    int64_t type, vid = c->current;
    struct andiron_row row = { .updated = c->updated, .included = included };

    if (c->id.data != NULL)
        row.ref.id = (andiron_str){ andiron_copy(run->arena, c->id), c->id.len };
    else if (resource_current(run, c->rid, &type, &vid, &row.ref.id) != 0)
        return -1;
    if (vid != c->vid) {
        /* Cannot be, unless the file was changed by another program. */
        store_count(run->store->metrics.mismatches, 1);
        return 0;
    }
    for (size_t i = 0; i < run->plan_count && row.ref.type.data == NULL; i++) {
        if (run->plans[i].type == c->type)
            row.ref.type = run->plans[i].name;
    }
    if (row.ref.type.data == NULL &&
        names_find_of_type(run->store->names, run->db, c->type, &row.ref.type) != 0)
        return run_fail(run);
    row.ref.version = (uint64_t)c->version;
    if (!run->place->refs_only &&
        page_body(run->arena, c->encoding, c->statement, 7, &row.body, run->error) != 0) {
        run->failed = true;
        return -1;
    }
    if (page->count == page->room)
        grow(run, page);
    page->rows[page->count] = row;
    page->vids[page->count] = c->vid;
    page->rids[page->count] = c->rid;
    page->count++;
    return 0;
}
