#include "subset.h"

#include <andiron/json.h>

#include "elements.h"

static const char tag_system[] = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/* What is asked for of which type. */
struct asked {
    andiron_str type;
    int structure;
    enum andiron_subset subset;
    const char *const *elements;
};

/* Whether `name`, or "Type.name", is in the list. */
static bool listed(const struct asked *a, andiron_str name)
{
    for (size_t i = 0; a->elements != NULL && a->elements[i] != NULL; i++) {
        andiron_str one = andiron_str_of(a->elements[i]);
        if (one.len > a->type.len && one.data[a->type.len] == '.' &&
            memcmp(one.data, a->type.data, a->type.len) == 0) {
            one.data += a->type.len + 1;
            one.len -= a->type.len + 1;
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
static bool wanted(const struct asked *a, andiron_str name)
{
    struct fhir_element element = { .name = NULL };
    bool known = a->structure >= 0 && fhir_element_find(a->structure, name, &element);

    switch (a->subset) {
    case ANDIRON_SUBSET_SUMMARY:
        return !known || element.is_summary || element.is_mandatory || element.is_modifier;
    case ANDIRON_SUBSET_TEXT:
        return is_text(name) || (known && element.is_mandatory);
    case ANDIRON_SUBSET_DATA:
        return !is_text(name);
    case ANDIRON_SUBSET_ELEMENTS:
        return listed(a, name) || (known && element.is_mandatory) ||
               (known && element.stem > 0 && listed(a, (andiron_str){ name.data, element.stem }));
    default:
        return true;
    }
}

static void put_tag(struct andiron_json_writer *w)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "system", ANDIRON_STR(tag_system));
    andiron_json_put_str(w, "code", ANDIRON_STR("SUBSETTED"));
    andiron_json_put_end(w);
}

/* The member meta, with the tag SUBSETTED added. */
static void put_meta(struct andiron_json_writer *w, andiron_json meta)
{
    struct andiron_json_iter it = { .of = meta };
    bool tagged = false;

    andiron_json_put_object(w, "meta");
    while (andiron_json_next(&it)) {
        if (!andiron_str_eq(it.name, ANDIRON_STR("tag"))) {
            andiron_json_put_member(w, it.name, it.value);
            continue;
        }
        struct andiron_json_iter tags = { .of = it.value };
        andiron_json_put_array(w, "tag");
        while (andiron_json_next(&tags))
            andiron_json_put(w, NULL, tags.value);
        put_tag(w);
        andiron_json_put_end(w);
        tagged = true;
    }
    if (!tagged) {
        andiron_json_put_array(w, "tag");
        put_tag(w);
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

andiron_str fhir_subset(struct andiron_arena *arena, const char *type, int structure,
                        enum andiron_subset subset, const char *const *elements,
                        andiron_str resource)
{
    const struct asked asked = { andiron_str_of(type), structure, subset, elements };
    struct andiron_json_iter it = { .pos = 0 };

    if (andiron_json_parse(arena, resource, &it.of, NULL) != 0)
        return resource;
    struct andiron_json_writer *w = andiron_json_write(arena, resource.len + 512);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", asked.type);
    while (andiron_json_next(&it)) {
        andiron_str name = it.name;
        if (andiron_str_eq(name, ANDIRON_STR("resourceType")))
            continue;
        if (andiron_str_eq(name, ANDIRON_STR("meta"))) {
            put_meta(w, it.value);
            continue;
        }
        if (name.len > 1 && name.data[0] == '_')
            name.data++, name.len--; /* extensions of a primitive go with it */
        if (andiron_str_eq(name, ANDIRON_STR("id")) || wanted(&asked, name))
            andiron_json_put_member(w, it.name, it.value);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}
