/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_plan.h - what record.c, record_read.c and record_plan.c share: plans, renderings, and what
 * a message takes over. Nobody else includes it.
 */
#ifndef CORE_QUEUE_RECORD_PLAN_H
#define CORE_QUEUE_RECORD_PLAN_H

#include <core/queue/record.h>

/* record_plan.c. Nothing is put where there is nothing to say. */
void record_put_plan(struct field_writer *writer, const struct mail_plan *plan);
void record_put_rendering(struct field_writer *writer, const struct mail_rendering *rendering);
void record_put_replaces(struct field_writer *writer, const struct item *item);
int record_get_plan(struct pn_slice value, struct arena *arena, struct mail_plan *ret);
/* Appends: there is room. */
int record_get_rendering(struct pn_slice value, struct item *item);
int record_get_replaces(struct pn_slice value, struct item *item);
/* Plans, renderings and bytes fit one another, or -EBADMSG. */
int record_check_plans(const struct item *item);

/* record_read.c */
int record_get_text(struct arena *arena, const struct field *field, const char **ret);
int record_get_u32(const struct field *field, uint32_t *ret);

#endif
