/* SPDX-License-Identifier: Apache-2.0 */
/* planned.h - one log line for each recipient about whose protection something was decided. */
#ifndef CORE_QUEUE_PLANNED_H
#define CORE_QUEUE_PLANNED_H

#include <core/queue/item.h>

/* `because`: why it is planned again; NULL: it is the first plan. */
void planned_log(const struct item *item, const char *id, const char *because);

#endif
