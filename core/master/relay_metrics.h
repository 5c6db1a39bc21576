/* SPDX-License-Identifier: Apache-2.0 */
/* relay_metrics.h - all numbers of a running relay, for its control socket. */
#ifndef CORE_MASTER_RELAY_METRICS_H
#define CORE_MASTER_RELAY_METRICS_H

#include <jansson.h>

/*
 * Takes over what `status`, an answer of the command of that name, says. Main loop only. NULL: out
 * of memory.
 */
json_t *relay_metrics_text(const json_t *status);    /* {"text": Prometheus' format} */
json_t *relay_metrics_samples(const json_t *status); /* {"samples": [...]}, one row each */

#endif
