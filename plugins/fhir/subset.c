#include "subset.h"

#include <andiron/json.h>

#include "common/fhir/elements.h"
#include "common/fhir/types.h"
#include "text.h"

static const char tag[] =
    "{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ObservationValue\","
    "\"code\":\"SUBSETTED\"}";

/* Whether `name`, or "Type.name", is in the list. */
static bool listed(const char *const *names, const struct resource_type *type, andiron_str name)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        andiron_str one = andiron_str_of(names[i]);
        if (one.len > type->str.len && one.data[type->str.len] == '.' &&
            memcmp(one.data, type->name, type->str.len) == 0) {
            one.data += type->str.len + 1;
            one.len -= type->str.len + 1;
        }
        if (andiron_str_eq(one, name))
            return true;
    }
    return false;
}

static bool is_text(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("text"));
}

/* A choice is asked for by its stem: "value" for valueQuantity. */
static bool wanted(const struct andiron_search_plan *plan, const struct resource_type *type,
                   int structure, andiron_str name)
{
    struct fhir_element element = { .name = NULL };
    bool known = structure >= 0 && fhir_element_find(structure, name, &element);

    switch (plan->subset) {
    case ANDIRON_SUBSET_SUMMARY:
        return !known || element.is_summary || element.is_mandatory || element.is_modifier;
    case ANDIRON_SUBSET_TEXT:
        return is_text(name) || (known && element.is_mandatory);
    case ANDIRON_SUBSET_DATA:
        return !is_text(name);
    case ANDIRON_SUBSET_ELEMENTS:
        return listed(plan->elements, type, name) || (known && element.is_mandatory) ||
               (known && element.stem > 0 &&
                listed(plan->elements, type, (andiron_str){ name.data, element.stem }));
    default:
        return true;
    }
}

/* meta with the tag SUBSETTED added; in the form of a member. */
static void put_meta(struct text *t, andiron_json meta)
{
    struct andiron_json_iter it = { .of = meta };
    bool tagged = false, first = true;

    TEXT_LIT(t, "\"meta\":{");
    for (; andiron_json_next(&it); first = false) {
        andiron_str raw = andiron_json_raw(it.value);
        if (!first)
            TEXT_LIT(t, ",");
        text_json(t, it.name);
        TEXT_LIT(t, ":");
        if (andiron_str_eq(it.name, ANDIRON_STR("tag")) && raw.len > 2) {
            tagged = true;
            text_add(t, raw.data, raw.len - 1); /* up to the ']' */
            TEXT_LIT(t, ",");
            TEXT_LIT(t, tag);
            TEXT_LIT(t, "]");
        } else {
            text_str(t, raw);
        }
    }
    if (!tagged) {
        if (!first)
            TEXT_LIT(t, ",");
        TEXT_LIT(t, "\"tag\":[");
        TEXT_LIT(t, tag);
        TEXT_LIT(t, "]");
    }
    TEXT_LIT(t, "}");
}

andiron_str subset_text(struct andiron_arena *arena, const struct resource_type *type,
                        const struct andiron_search_plan *plan, andiron_str resource)
{
    struct andiron_json_iter it;
    struct andiron_error err;
    andiron_json root;
    struct text t;
    int structure = type->platform ? -1 : fhir_type(type->str);

    if (andiron_json_parse(arena, resource, &root, &err) != 0)
        return resource;
    text_init(&t, arena, resource.len + sizeof(tag) + 32);
    TEXT_LIT(&t, "{\"resourceType\":");
    text_json(&t, type->str);
    it = (struct andiron_json_iter){ .of = root };
    while (andiron_json_next(&it)) {
        andiron_str name = it.name;
        if (andiron_str_eq(name, ANDIRON_STR("resourceType")))
            continue;
        bool is_meta = andiron_str_eq(name, ANDIRON_STR("meta"));
        if (name.len > 1 && name.data[0] == '_')
            name.data++, name.len--; /* extensions of a primitive go with it */
        if (!is_meta && !andiron_str_eq(name, ANDIRON_STR("id")) &&
            !wanted(plan, type, structure, name))
            continue;
        TEXT_LIT(&t, ",");
        if (is_meta) {
            put_meta(&t, it.value);
        } else {
            text_json(&t, it.name);
            TEXT_LIT(&t, ":");
            text_str(&t, andiron_json_raw(it.value));
        }
    }
    TEXT_LIT(&t, "}");
    return text_view(&t);
}
