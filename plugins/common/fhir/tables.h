/*
 * Shapes of the generated tables (generated/, written by tools/generate-fhir).
 *
 * Only for the files of this folder; others use types.h, elements.h, params.h. Strings are
 * 16-bit offsets into two pools, so that nothing needs relocating and the pages of a module
 * are shared and only read from disk where they are used.
 */
#ifndef FHIR_TABLES_H
#define FHIR_TABLES_H

#include <andiron/base.h>

#include "generated/counts.h"
#include "program.h"

extern const char fhir_names[]; /* types, members, codes of parameters; "" is at 0 */
extern const char fhir_texts[]; /* structures, ids of definitions, systems; "" is at 0 */
extern const char fhir_codes[]; /* codes of required bindings */

/* Types in alphabetical order; a perfect hash over them: 255 is an empty slot. */
extern const uint16_t fhir_type_names[];
extern const uint8_t fhir_type_shifts[64];
extern const uint8_t fhir_type_slots[256];

enum {
    FHIR_IS_ARRAY = 1,
    FHIR_IS_MANDATORY = 2,
    FHIR_IS_SUMMARY = 4,
    FHIR_IS_MODIFIER = 8,
    FHIR_IS_BARE = 16 /* a primitive without extensions: ids of elements, url of Extension */
};

/* What the text of a primitive must look like; in the order of tools/fhir/elements.js. */
enum fhir_format {
    FHIR_FORMAT_NONE, /* not a primitive */
    FHIR_FORMAT_BOOLEAN,
    FHIR_FORMAT_INTEGER,
    FHIR_FORMAT_UNSIGNED,
    FHIR_FORMAT_POSITIVE,
    FHIR_FORMAT_DECIMAL,
    FHIR_FORMAT_STRING,
    FHIR_FORMAT_MARKDOWN,
    FHIR_FORMAT_XHTML,
    FHIR_FORMAT_CODE,
    FHIR_FORMAT_ID,
    FHIR_FORMAT_URI,
    FHIR_FORMAT_URL,
    FHIR_FORMAT_CANONICAL,
    FHIR_FORMAT_OID,
    FHIR_FORMAT_UUID,
    FHIR_FORMAT_BASE64,
    FHIR_FORMAT_DATE,
    FHIR_FORMAT_DATETIME,
    FHIR_FORMAT_INSTANT,
    FHIR_FORMAT_TIME
};

/* Resource types first, in the order of types; then data types and backbones. */
struct fhir_structure_row {
    uint16_t name; /* in texts: "Observation.component" */
    uint16_t first, count;
    uint8_t kind;      /* enum fhir_structure_kind */
    uint8_t format;    /* enum fhir_format */
    uint8_t mandatory; /* how many elements must be there; a choice is one */
};
extern const struct fhir_structure_row fhir_structure_rows[];
extern const size_t fhir_structure_count;

/* One row for each JSON member, by name within its structure. */
struct fhir_element_row {
    uint16_t name;      /* in names: "valueQuantity" */
    uint16_t structure; /* of its content */
    uint16_t system;    /* in texts: of a code's required binding, or "" */
    uint16_t codes;     /* in code sets: what that binding allows; 0: anything */
    uint8_t flags;
    uint8_t stem;   /* of a choice: length of "value"; else 0 */
    uint8_t choice; /* which of the structure's choices it belongs to, 1..31; 0: none */
};
extern const struct fhir_element_row fhir_element_rows[];

/* Rows of elements by a hash of structure and name; 0xffff is an empty slot. */
enum { FHIR_ELEMENT_SLOTS = 16384 };
extern const uint16_t fhir_element_slots[FHIR_ELEMENT_SLOTS];

/* Row of a structure's member; NULL if there is none. structure must be one. */
const struct fhir_element_row *fhir_element_row(size_t structure, andiron_str name);

/* Systems of the few codes whose binding names several, by element. */
struct fhir_element_system_row {
    uint16_t element; /* row of elements */
    uint16_t system;  /* in texts */
};
extern const struct fhir_element_system_row fhir_element_systems[];
extern const size_t fhir_element_system_count;

/* Codes of required bindings, in the order of strcmp. */
struct fhir_code_set_row {
    uint16_t first, count; /* in fhir_code_texts */
};
extern const struct fhir_code_set_row fhir_code_sets[];
extern const uint16_t fhir_code_texts[]; /* in fhir_codes */

/* Parameters by type and code; first has FHIR_TYPE_COUNT + 2 entries, Resource's own being last. */
extern const uint16_t fhir_param_first[];
struct fhir_param_row {
    uint16_t code; /* in names */
    uint16_t id;   /* in texts: of the definition, behind FHIR_PARAM_URL */
    /* of a reference: first in fhir_param_targets; of a composite: first in fhir_param_parts;
     * of a string: in names, the parameter that holds its further words ("name#word") */
    uint16_t more;
    uint8_t more_count;
    uint8_t kind;     /* enum fhir_param_kind */
    uint8_t is_plain; /* a number: only whole ones; a token: only strings */
};
extern const struct fhir_param_row fhir_param_rows[];
extern const uint8_t fhir_param_targets[]; /* indices of types */
extern const uint16_t fhir_param_parts[];  /* codes of component parameters, in names */

/* Extraction programs: shapes and meaning are in program.h. */
extern const uint16_t fhir_program_roots[]; /* by type; Resource last */
extern const struct fhir_node_row fhir_program_nodes[];
extern const struct fhir_edge_row fhir_program_edges[];
extern const struct fhir_guard_row fhir_program_guards[];
extern const struct fhir_emit_row fhir_program_emits[];
extern const struct fhir_composite_row fhir_program_composites[];
extern const struct fhir_truth_row fhir_program_truths[];
extern const uint16_t fhir_program_truth_members[];

/* Compartments and the parameters by which resources belong to them. */
struct fhir_compartment_row {
    uint8_t type;
    uint16_t first, count;
};
struct fhir_compartment_member_row {
    uint8_t type;
    uint16_t code; /* in names */
};
extern const struct fhir_compartment_row fhir_compartment_rows[];
extern const size_t fhir_compartment_count;
extern const struct fhir_compartment_member_row fhir_compartment_members[];

/* Characters beyond ASCII without case and accents, by code point. */
struct fhir_fold_row {
    uint16_t from, to; /* to: first in fhir_fold_bytes */
    uint8_t length;
};
extern const struct fhir_fold_row fhir_fold_rows[];
extern const size_t fhir_fold_count;
extern const uint8_t fhir_fold_bytes[];

#endif
