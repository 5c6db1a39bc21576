/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.h - numbers that a module counts, for the operator's graphs (`posternctl metrics`, in
 * Prometheus' text format).
 *
 *	static const struct pn_metric_about hook_answers = {
 *		PN_METRIC_HEAD,
 *		.type = PN_METRIC_COUNTER,
 *		.name = "answers_total",
 *		.help = "Answers of the web hook, by status.",
 *		.labels = "status",
 *	};
 *	...
 *	pn_metric_add(pn_metric(call, &hook_answers, PN_LABELS("200"), NULL), 1);
 *
 * It is shown as postern_<module>_<name>{entry="<id>",status="200"}: the core puts the module's
 * name before it ('_' where that has '-') and the entry's id among the labels.
 *
 * Life: numbers are of the process that runs the hook; they begin at 0 when it starts and survive a
 * reload. A `struct pn_metric *` is valid as long as the process lives, so it may be kept in
 * pn_state(). Threads: any, also in a PN_QUICK hook; pn_metric() takes a short lock, the other
 * functions are a few atomic instructions.
 */
#ifndef POSTERN_METRIC_H
#define POSTERN_METRIC_H

#include <postern/base.h>

struct pn_call;
struct pn_metric; /* one number: a metric under given label values */

enum pn_metric_type {
	PN_METRIC_COUNTER = 1, /* only grows; its name ends in _total */
	PN_METRIC_GAUGE,       /* goes up and down */
	PN_METRIC_HISTOGRAM    /* how often values fell under each bound, and their sum */
};

#define PN_METRIC_LABELS_MOST 4
#define PN_METRIC_BOUNDS_MOST 24
#define PN_METRIC_SERIES_MOST \
	1000 /* of one metric; more is -E2BIG: a label is no place for ids \
	      */

struct pn_metric_about {
	uint32_t size; /* PN_METRIC_HEAD */
	int32_t type;
	/*
	 * [a-z][a-z0-9_]*, no "__", 60 at most, with the unit at the end, base units: "seconds",
	 * "bytes". Not ending in _total unless a counter, never in _bucket, _count or _sum.
	 */
	const char *name;
	const char *help;   /* one sentence */
	const char *labels; /* names separated by blanks, as above; NULL: none. Not "entry", "le" */
	/* HISTOGRAM: upper bounds, ascending. NULL: seconds from 5 ms to 60 s. */
	const double *bounds;
	size_t bound_count;
};

#define PN_METRIC_HEAD .size = sizeof(struct pn_metric_about)

/* One value for each of the `labels`, in their order. */
#define PN_LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define PN_NO_LABELS   ((const char *const[]){ NULL })

/*
 * Finds the number, or makes it, at 0. From `start`, so that it is shown before anything happened,
 * or when it is first needed. Label values are copied, cut at 100 bytes, and made UTF-8
 * without control characters.
 * NULL, with the text in `err` (which may be NULL): a name that is none, values that do not fit the
 * labels (-EINVAL), the name stands for something else already (-EEXIST), too many (-E2BIG).
 */
PN_PUBLIC struct pn_metric *pn_metric(struct pn_call *call, const struct pn_metric_about *about,
    const char *const *values, struct pn_error *err);

/* Each does nothing where `metric` is NULL or of another type. */

/* COUNTER: `by` not negative. GAUGE: any. */
PN_PUBLIC void pn_metric_add(struct pn_metric *metric, double by);
/* GAUGE. */
PN_PUBLIC void pn_metric_set(struct pn_metric *metric, double value);
/* HISTOGRAM. */
PN_PUBLIC void pn_metric_observe(struct pn_metric *metric, double value);

#endif
