/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - tables of options as JSON Schema (draft 2020-12), for editors and validators.
 *
 * A value that a table refuses is refused by its schema wherever JSON Schema can say so; what the
 * schema lets through may still be wrong: only `posternctl check` knows all. Objects returned
 * belong to the caller.
 */
#ifndef CORE_CONFIG_SCHEMA_H
#define CORE_CONFIG_SCHEMA_H

#include <core/config/settings.h>
#include <jansson.h>

/* What a section of these options may hold; a bare table gives the schema of its value. */
json_t *schema_table(const struct pn_option *rows, size_t row_size);
/* The same for a section of the pipeline: it also knows `enabled`, and the scopes. */
json_t *schema_section(const struct pn_option *rows, size_t row_size);

#endif
