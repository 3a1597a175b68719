/*
 * Choosing places, and reading them.
 */
#include "places.h"

#include <stdlib.h>

/* ---- choosing --------------------------------------------------------------------------- */

enum { SEEN_MAX = 1024 /* places that are counted: those that turn up first */ };

struct seen {
    struct place *all;
    unsigned count;
};

static struct place *see(struct seen *seen, const struct literal *literal)
{
    unsigned mask = SEEN_MAX * 2 - 1, at = (unsigned)literal->hash & mask;
    while (seen->all[at].path != NULL &&
           (seen->all[at].hash != literal->hash || strcmp(seen->all[at].path, literal->path) != 0))
        at = (at + 1) & mask;
    if (seen->all[at].path == NULL) {
        if (seen->count == SEEN_MAX)
            return NULL;
        seen->count++;
        seen->all[at] = (struct place){ .path = literal->path, .hash = literal->hash };
    }
    return &seen->all[at];
}

static int by_policies(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->policies != y->policies)
        return x->policies > y->policies ? -1 : 1;
    return 0;
}

static void see_all(struct seen *seen, const struct literal *literals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct place *place = see(seen, &literals[i]);
        if (place != NULL)
            place->policies++;
    }
}

void places_choose(struct places *places, struct policy *const *policies, size_t count)
{
    struct seen seen = { .all = calloc((size_t)SEEN_MAX * 2, sizeof(*seen.all)) };
    if (seen.all == NULL)
        abort(); /* out of memory: the supervisor starts a new worker */
    for (size_t i = 0; i < count; i++) {
        if (policies[i]->link_count > 0)
            continue;
        see_all(&seen, policies[i]->literals, policies[i]->literal_count);
        see_all(&seen, policies[i]->fragments, policies[i]->fragment_count);
    }
    unsigned found = 0;
    for (unsigned i = 0; i < SEEN_MAX * 2 && found < seen.count; i++)
        if (seen.all[i].path != NULL)
            seen.all[found++] = seen.all[i];
    if (found > PLACES_MAX)
        qsort(seen.all, found, sizeof(*seen.all), by_policies);
    places->count = found < PLACES_MAX ? found : PLACES_MAX;
    memcpy(places->all, seen.all, places->count * sizeof(*seen.all));
    free(seen.all);
}

int places_find(const struct places *places, const struct literal *literal)
{
    for (unsigned i = 0; i < places->count; i++)
        if (places->all[i].hash == literal->hash && strcmp(places->all[i].path, literal->path) == 0)
            return (int)i;
    return -1;
}

/* "role.*.name" becomes "role", "name", and "a.*.*" becomes "a", "", "". */
void places_use(struct places *places, int place, bool is_searched, struct andiron_arena *arena)
{
    struct place *p = &places->all[place];
    *(is_searched ? &p->is_searched : &p->is_compared) = true;
    if (p->is_used)
        return;
    p->is_used = true;
    char *piece = andiron_copy(arena, andiron_str_of(p->path)), *step = piece;
    const char **pieces = andiron_alloc(arena, (strlen(piece) / 2 + 2) * sizeof(*pieces));
    for (;;) {
        size_t len = strcspn(step, ".");
        bool is_last = step[len] == '\0';
        if (len == 1 && step[0] == '*') {
            if (step > piece)
                step[-1] = '\0';
            pieces[p->piece_count++] = step > piece ? piece : "";
            piece = is_last ? step + 1 : step + 2;
        }
        if (is_last)
            break;
        step += len + 1;
    }
    pieces[p->piece_count++] = piece;
    p->pieces = pieces;
}

/* ---- reading a request -------------------------------------------------------------------- */

enum { SEARCHED_MAX = 1024 /* bytes of the strings of a place */ };

struct reading {
    const struct place *place;
    unsigned at; /* of the place */
    struct link *links;
    size_t count, values, searched; /* links; values, of which each makes up to two; bytes */
    bool is_too_much;
};

static void put(struct reading *r, unsigned kind, andiron_str value)
{
    r->links[r->count++] = (struct link){ kind + r->at, value };
}

/* To be compared; searched too if it is a string, or missing. */
static void put_value(struct reading *r, andiron_json v)
{
    andiron_str text = ANDIRON_STR("");
    unsigned searched = 0; /* the kind of link, if there is one */
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_STRING:
        text = andiron_json_str(v);
        searched = LINK_SEARCHED;
        break;
    case ANDIRON_JSON_BOOL:
        text = andiron_json_true(v) ? ANDIRON_STR("true") : ANDIRON_STR("false");
        break;
    case ANDIRON_JSON_MISSING:
    case ANDIRON_JSON_NULL:
        searched = LINK_FRAGMENT;
        break;
    default: /* nothing that is listed is equal to it */
        return;
    }
    if (r->place->is_searched && searched != 0)
        r->searched += text.len;
    r->values++;
    r->is_too_much |= r->values > PLACE_VALUES_MAX || r->searched > SEARCHED_MAX;
    if (r->is_too_much)
        return;
    if (r->place->is_compared)
        put(r, LINK_PLACE, text);
    if (r->place->is_searched && searched != 0)
        put(r, searched, text);
}

static void put_missing(struct reading *r)
{
    put_value(r, (andiron_json){ NULL, 0 });
}

/* v: what is at the pieces before `at`. Recursion is as deep as a policy has steps. */
static void read_from(struct reading *r, andiron_json v, size_t at)
{
    if (at == r->place->piece_count) {
        put_value(r, v);
        return;
    }
    if (andiron_json_type(v) != ANDIRON_JSON_ARRAY || andiron_json_count(v) == 0) {
        put_missing(r); /* no element: all that would be in one is missing */
        return;
    }
    const char *piece = r->place->pieces[at];
    struct andiron_json_iter it = { .of = v };
    while (!r->is_too_much && andiron_json_next(&it))
        read_from(r, piece[0] != '\0' ? andiron_json_path(it.value, piece) : it.value, at + 1);
}

size_t places_links_max(const struct places *places)
{
    size_t links = 0;
    for (unsigned i = 0; i < places->count; i++)
        if (places->all[i].is_used)
            links += places->all[i].piece_count > 1 ? PLACE_VALUES_MAX * 2 : 2;
    return links;
}

size_t places_links(const struct places *places, struct andiron_policy_call *call, struct link *ret)
{
    size_t count = 0;
    for (unsigned i = 0; i < places->count; i++) {
        const struct place *place = &places->all[i];
        if (!place->is_used)
            continue;
        struct reading r = { .place = place, .at = i, .links = ret + count };
        read_from(&r, andiron_policy_input(call, place->pieces[0]), 1);
        if (r.is_too_much) { /* whoever sends that much gets no more work done */
            r.count = 0;
            put(&r, LINK_PLACE_ALL, ANDIRON_STR(""));
        }
        count += r.count;
    }
    return count;
}
