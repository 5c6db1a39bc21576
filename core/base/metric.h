/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.h - the numbers of this process: who counts what, and all of them for a reader.
 *
 * One table for the process, as the log is one. Any thread; the table has a lock, the numbers are
 * atomic. Names and shapes are those of postern/metric.h.
 */
#ifndef CORE_BASE_METRIC_H
#define CORE_BASE_METRIC_H

#include <core/base/buf.h>
#include <postern/metric.h>

/*
 * `module` and `entry`: whose it is; both NULL for the core, whose metrics are postern_<name>.
 * Otherwise as pn_metric().
 */
struct pn_metric *metric_get(const char *module, const char *entry,
    const struct pn_metric_about *about, const char *const *values, struct pn_error *err);
/* For the core, whose descriptions are right: the label values are the arguments, NULL-ended. */
struct pn_metric *metric_own(const struct pn_metric_about *about, ...) __attribute__((sentinel));
/* A counter whose count is kept elsewhere. */
void metric_set_counter(struct pn_metric *metric, double value);

struct metric_label {
	const char *name, *value;
};

/* What metric_each() tells, in the order of names: each metric, then its samples. */
struct metric_reader {
	void (*metric)(void *arg, const char *name, const char *type, const char *help);
	/* `suffix`: "" or, of a histogram, "_bucket", "_sum", "_count". */
	void (*sample)(void *arg, const char *name, const char *suffix,
	    const struct metric_label *labels, size_t count, double value);
	void *arg;
};
/* The table is locked meanwhile: a reader writes to memory. */
void metric_each(const struct metric_reader *reader);

/* Prometheus' text format, version 0.0.4. -E2BIG: past the ceiling of `ret`. */
int metric_text(struct buf *ret);

#endif
