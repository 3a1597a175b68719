/*
 * Finding schemas by place and by name. Names are few and looked up at compile time only.
 */
#include "references.h"

#include "uri.h"

static size_t count_values(andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    size_t count = 1;
    while (andiron_json_next(&it))
        count += count_values(it.value);
    return count;
}

void references_begin(struct references *refs, struct andiron_arena *arena, andiron_json document)
{
    size_t values = count_values(document);
    *refs = (struct references){ .arena = arena, .document = document };
    refs->room = (uint32_t)(values < SCHEMAS_MAX ? values : SCHEMAS_MAX);
    for (refs->slots = 2; refs->slots < 2 * (size_t)refs->room; refs->slots *= 2)
        ;
    refs->by_place = andiron_alloc(arena, refs->slots * sizeof(*refs->by_place));
    memset(refs->by_place, 0, refs->slots * sizeof(*refs->by_place));
    refs->sites = andiron_alloc(arena, refs->room * sizeof(*refs->sites));
    refs->identities = andiron_alloc(arena, 2 * refs->room * sizeof(*refs->identities));
}

/* Two values never begin at the same byte. */
static struct site **slot_of(const struct references *refs, andiron_json place)
{
    const char *begin = andiron_json_raw(place).data;
    size_t at = (size_t)(((uintptr_t)begin * UINT64_C(0x9e3779b97f4a7c15)) >> 20);
    for (;; at++) {
        struct site **slot = &refs->by_place[at & (refs->slots - 1)];
        if (*slot == NULL || andiron_json_raw((*slot)->source).data == begin)
            return slot;
    }
}

struct site *references_at(const struct references *refs, andiron_json place)
{
    return *slot_of(refs, place);
}

struct site *references_add(struct references *refs, andiron_json place, andiron_str base,
                            const char *where)
{
    if (refs->count == refs->room)
        return NULL;
    struct site *site = andiron_new(refs->arena, struct site);
    site->source = place;
    site->base = base;
    site->where = where;
    *slot_of(refs, place) = site;
    refs->sites[refs->count++] = site;
    return site;
}

static struct identity *find(const struct references *refs, andiron_str uri, andiron_str anchor)
{
    for (uint32_t i = 0; i < refs->identity_count; i++) {
        struct identity *known = &refs->identities[i];
        if (andiron_str_eq(known->uri, uri) && andiron_str_eq(known->anchor, anchor))
            return known;
    }
    return NULL;
}

static int identify(struct references *refs, struct site *site, andiron_str uri, andiron_str anchor)
{
    if (find(refs, uri, anchor) != NULL)
        return -1;
    refs->identities[refs->identity_count++] = (struct identity){ uri, anchor, site };
    return 0;
}

int references_identify(struct references *refs, struct site *site, andiron_str id)
{
    const andiron_str none = { NULL, 0 };
    andiron_str anchor = uri_cut_fragment(&id);
    if (id.len > 0) {
        site->base = uri_resolve(refs->arena, site->base, id);
        if (identify(refs, site, site->base, none) != 0)
            return -1;
    }
    bool is_anchor = anchor.len > 0 && anchor.data[0] != '/';
    return is_anchor ? identify(refs, site, site->base, anchor) : 0;
}

andiron_json references_resolve(const struct references *refs, const struct site *site,
                                andiron_str reference)
{
    const andiron_json none = { NULL, 0 };
    andiron_str fragment = uri_cut_fragment(&reference);
    andiron_str uri = uri_resolve(refs->arena, site->base, reference);
    fragment = uri_decode(refs->arena, fragment);
    if (fragment.data == NULL)
        return none;
    if (fragment.len > 0 && fragment.data[0] != '/') {
        const struct identity *anchor = find(refs, uri, fragment);
        return anchor != NULL ? anchor->site->source : none;
    }
    const struct identity *whole = find(refs, uri, (andiron_str){ NULL, 0 });
    if (whole == NULL && uri.len > 0)
        return none;
    return pointer_follow(refs->arena, whole != NULL ? whole->site->source : refs->document,
                          fragment);
}
