/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.c - counters, gauges and histograms of this process.
 *
 * Called by whoever counts, on any thread. Nothing is ever taken out: numbers are held by pointers
 * that are valid as long as the process lives. Must never block but for the table's short lock.
 */
#include <core/base/metric.h>
#include <errno.h>
#include <glib.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define NAME_MOST  60
#define VALUE_MOST 100
#define LABELS_ALL (PN_METRIC_LABELS_MOST + 1) /* with "entry" */

struct family {
	char *name, *help;
	const char *module; /* interned; NULL: the core's */
	int32_t type;
	size_t label_count;
	char *labels[LABELS_ALL];
	size_t bound_count;
	double *bounds;
	GHashTable *series; /* by their joined label values */
};

struct pn_metric {
	const struct family *family;
	char *values[LABELS_ALL];
	double number;     /* atomic; of a histogram the sum */
	uint64_t counts[]; /* atomic; of a histogram, one for each bound and one above */
};

/* The process's numbers: entries come and go, the table and what is in it stay. */
static struct {
	pthread_mutex_t lock;
	GTree *families; /* by full name */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const double seconds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60 };

/* ---- what is well formed --------------------------------------------------------------------- */

static bool
is_word(const char *word, size_t len)
{
	if (len == 0 || len > NAME_MOST || !g_ascii_islower(word[0]) || word[len - 1] == '_')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!g_ascii_islower(word[i]) && !g_ascii_isdigit(word[i]) &&
		    (word[i] != '_' || word[i - 1] == '_'))
			return false;
	return true;
}

static bool
name_fits(const struct pn_metric_about *about)
{
	static const char *const reserved[] = { "_bucket", "_count", "_sum", NULL };

	if (!about->name || !is_word(about->name, strlen(about->name)))
		return false;
	for (size_t i = 0; reserved[i]; i++)
		if (g_str_has_suffix(about->name, reserved[i]))
			return false;
	return g_str_has_suffix(about->name, "_total") == (about->type == PN_METRIC_COUNTER);
}

static bool
bounds_fit(const struct pn_metric_about *about)
{
	if (!about->bounds)
		return about->bound_count == 0;
	if (about->type != PN_METRIC_HISTOGRAM || about->bound_count == 0 ||
	    about->bound_count > PN_METRIC_BOUNDS_MOST)
		return false;
	for (size_t i = 0; i < about->bound_count; i++)
		if (!isfinite(about->bounds[i]) ||
		    (i > 0 && about->bounds[i] <= about->bounds[i - 1]))
			return false;
	return true;
}

static bool
label_fits(const struct family *family, const char *label, size_t len)
{
	static const char *const taken[] = { "entry", "le", "quantile", NULL };
	struct pn_slice word = pn_slice(label, len);

	for (size_t i = 0; taken[i]; i++)
		if (pn_slice_equals(word, pn_slice_of(taken[i])) &&
		    (family->module || strcmp(taken[i], "entry") != 0))
			return false;
	for (size_t i = 0; i < family->label_count; i++)
		if (pn_slice_equals(word, pn_slice_of(family->labels[i])))
			return false;
	return is_word(label, len);
}

static const char *
fault_of(const struct pn_metric_about *about)
{
	if (about->size < sizeof(*about))
		return "PN_METRIC_HEAD is missing";
	if (about->type < PN_METRIC_COUNTER || about->type > PN_METRIC_HISTOGRAM)
		return "its type is none";
	if (!name_fits(about))
		return "its name is none: lower case, digits and single '_'; a counter, and only "
		       "that, ends in _total";
	if (!about->help || !*about->help)
		return "it has no help";
	if (!bounds_fit(about))
		return "its bounds do not ascend, are too many, or are not a histogram's";
	return NULL;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void
family_free(struct family *family)
{
	for (size_t i = 0; i < family->label_count; i++)
		g_free(family->labels[i]);
	if (family->series)
		g_hash_table_destroy(family->series);
	g_free(family->name);
	g_free(family->help);
	g_free(family->bounds);
	g_free(family);
}

static bool
add_labels(struct family *family, const char *labels)
{
	if (family->module)
		family->labels[family->label_count++] = g_strdup("entry");
	while (labels && *labels) {
		size_t len = strcspn(labels, " ");

		if (family->label_count == LABELS_ALL || !label_fits(family, labels, len))
			return false;
		family->labels[family->label_count++] = g_strndup(labels, len);
		labels += len;
		labels += strspn(labels, " ");
	}
	return true;
}

static void
add_bounds(struct family *family, const struct pn_metric_about *about)
{
	const double *bounds = about->bounds ? about->bounds : seconds;
	size_t count = about->bounds ? about->bound_count : G_N_ELEMENTS(seconds);

	if (family->type != PN_METRIC_HISTOGRAM)
		return;
	family->bounds = g_memdup2(bounds, count * sizeof(*bounds));
	family->bound_count = count;
}

static struct family *
family_new(const char *name, const char *module, const struct pn_metric_about *about)
{
	struct family *family = g_new0(struct family, 1);

	family->name = g_strdup(name);
	family->help = g_strdup(about->help);
	family->module = g_intern_string(module);
	family->type = about->type;
	add_bounds(family, about);
	if (!add_labels(family, about->labels)) {
		family_free(family);
		return NULL;
	}
	family->series = g_hash_table_new(g_str_hash, g_str_equal);
	return family;
}

static bool
same_shape(const struct family *family, const struct family *other)
{
	if (family->module != other->module || family->type != other->type ||
	    family->label_count != other->label_count || family->bound_count != other->bound_count)
		return false;
	for (size_t i = 0; i < family->label_count; i++)
		if (strcmp(family->labels[i], other->labels[i]) != 0)
			return false;
	return family->bound_count == 0 ||
	       memcmp(family->bounds, other->bounds, family->bound_count * sizeof(double)) == 0;
}

static char *
full_name(const char *module, const char *name)
{
	char *full = module ? g_strdup_printf("postern_%s_%s", module, name)
			    : g_strdup_printf("postern_%s", name);

	return g_strdelimit(full, "-", '_');
}

static int
compare(gconstpointer a, gconstpointer b, gpointer unused)
{
	return strcmp(a, b);
}

static struct family *
family_get(const char *module, const struct pn_metric_about *about, struct pn_error *err)
{
	g_autofree char *name = full_name(module, about->name);
	struct family *family = family_new(name, module, about), *have;

	if (!family) {
		pn_error_set(err, -EINVAL, "metric %s: its labels are not %d different words", name,
		    PN_METRIC_LABELS_MOST);
		return NULL;
	}
	if (!table.families)
		table.families = g_tree_new_full(compare, NULL, NULL, NULL);
	have = g_tree_lookup(table.families, name);
	if (!have) {
		g_tree_insert(table.families, family->name, family);
		return family;
	}
	if (!same_shape(have, family)) {
		pn_error_set(
		    err, -EEXIST, "metric %s: is there with other labels, type or owner", name);
		have = NULL;
	}
	family_free(family);
	return have;
}

static char *
clean_value(const char *value)
{
	char *valid = g_utf8_make_valid(value, (gssize)strnlen(value, VALUE_MOST + 4));
	size_t len = strlen(valid);

	if (len > VALUE_MOST)
		*g_utf8_find_prev_char(valid, valid + VALUE_MOST + 1) = '\0';
	for (char *at = valid; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = '?';
	return valid;
}

static struct pn_metric *
series_new(const struct family *family, char *const *values)
{
	size_t counts = family->type == PN_METRIC_HISTOGRAM ? family->bound_count + 1 : 0;
	struct pn_metric *metric = g_malloc0(sizeof(*metric) + counts * sizeof(uint64_t));

	metric->family = family;
	for (size_t i = 0; i < family->label_count; i++)
		metric->values[i] = g_strdup(values[i]);
	return metric;
}

/* `values` are clean, one for each label and a NULL. */
static struct pn_metric *
series_get(struct family *family, char **values, struct pn_error *err)
{
	g_autofree char *key = g_strjoinv("\x1f", values);
	struct pn_metric *metric;

	if (g_strv_length(values) != family->label_count) {
		pn_error_set(err, -EINVAL, "metric %s: has %zu labels, not %u", family->name,
		    family->label_count, g_strv_length(values));
		return NULL;
	}
	metric = g_hash_table_lookup(family->series, key);
	if (metric)
		return metric;
	if (g_hash_table_size(family->series) >= PN_METRIC_SERIES_MOST) {
		pn_error_set(err, -E2BIG, "metric %s: more than %d different labels", family->name,
		    PN_METRIC_SERIES_MOST);
		return NULL;
	}
	metric = series_new(family, values);
	g_hash_table_insert(family->series, g_steal_pointer(&key), metric);
	return metric;
}

struct pn_metric *
metric_get(const char *module, const char *entry, const struct pn_metric_about *about,
    const char *const *values, struct pn_error *err)
{
	const char *fault = fault_of(about);
	char *clean[LABELS_ALL + 2] = { NULL };
	struct pn_metric *metric = NULL;
	struct family *family;
	size_t count = 0;

	if (fault) {
		pn_error_set(err, -EINVAL, "metric %s: %s", about->name ? about->name : "?", fault);
		return NULL;
	}
	if (entry)
		clean[count++] = clean_value(entry);
	for (; *values && count <= LABELS_ALL; values++)
		clean[count++] = clean_value(*values);
	pthread_mutex_lock(&table.lock);
	family = family_get(module, about, err);
	if (family)
		metric = series_get(family, clean, err);
	pthread_mutex_unlock(&table.lock);
	for (size_t i = 0; i < count; i++)
		g_free(clean[i]);
	return metric;
}

struct pn_metric *
metric_own(const struct pn_metric_about *about, ...)
{
	const char *values[LABELS_ALL + 1] = { NULL };
	va_list args;

	va_start(args, about);
	for (size_t i = 0; i < LABELS_ALL; i++) {
		values[i] = va_arg(args, const char *);
		if (!values[i])
			break;
	}
	va_end(args);
	return metric_get(NULL, NULL, about, values, NULL);
}

/* ---- counting -------------------------------------------------------------------------------- */

static void
add(double *number, double by)
{
	double before, after;

	__atomic_load(number, &before, __ATOMIC_RELAXED);
	do
		after = before + by;
	while (!__atomic_compare_exchange(
	    number, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

static bool
is(const struct pn_metric *metric, int32_t type)
{
	return metric && metric->family->type == type;
}

void
pn_metric_add(struct pn_metric *metric, double by)
{
	if (is(metric, PN_METRIC_GAUGE) || (is(metric, PN_METRIC_COUNTER) && by >= 0))
		add(&metric->number, by);
}

void
pn_metric_set(struct pn_metric *metric, double value)
{
	if (is(metric, PN_METRIC_GAUGE))
		__atomic_store(&metric->number, &value, __ATOMIC_RELAXED);
}

void
metric_set_counter(struct pn_metric *metric, double value)
{
	if (is(metric, PN_METRIC_COUNTER))
		__atomic_store(&metric->number, &value, __ATOMIC_RELAXED);
}

void
pn_metric_observe(struct pn_metric *metric, double value)
{
	const struct family *family;
	size_t at = 0;

	if (!is(metric, PN_METRIC_HISTOGRAM) || isnan(value))
		return;
	family = metric->family;
	while (at < family->bound_count && value > family->bounds[at])
		at++;
	__atomic_fetch_add(&metric->counts[at], 1, __ATOMIC_RELAXED);
	add(&metric->number, value);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
tell_histogram(const struct metric_reader *reader, const struct pn_metric *metric,
    struct metric_label *labels, double sum)
{
	const struct family *family = metric->family;
	size_t count = family->label_count;
	char bound[G_ASCII_DTOSTR_BUF_SIZE];
	uint64_t under = 0;

	labels[count].name = "le";
	labels[count].value = bound;
	for (size_t i = 0; i <= family->bound_count; i++) {
		under += __atomic_load_n(&metric->counts[i], __ATOMIC_RELAXED);
		if (i < family->bound_count)
			g_ascii_formatd(bound, sizeof(bound), "%.10g", family->bounds[i]);
		else
			strcpy(bound, "+Inf");
		reader->sample(
		    reader->arg, family->name, "_bucket", labels, count + 1, (double)under);
	}
	reader->sample(reader->arg, family->name, "_sum", labels, count, sum);
	reader->sample(reader->arg, family->name, "_count", labels, count, (double)under);
}

static void
tell_series(const struct metric_reader *reader, const struct pn_metric *metric)
{
	const struct family *family = metric->family;
	struct metric_label labels[LABELS_ALL + 1];
	double number;

	__atomic_load(&metric->number, &number, __ATOMIC_RELAXED);
	for (size_t i = 0; i < family->label_count; i++)
		labels[i] = (struct metric_label){ family->labels[i], metric->values[i] };
	if (family->type == PN_METRIC_HISTOGRAM)
		tell_histogram(reader, metric, labels, number);
	else
		reader->sample(reader->arg, family->name, "", labels, family->label_count, number);
}

static gboolean
tell_family(gpointer key, gpointer value, gpointer arg)
{
	static const char *const types[] = { "", "counter", "gauge", "histogram" };
	const struct metric_reader *reader = arg;
	const struct family *family = value;
	GList *keys = g_list_sort(
	    g_hash_table_get_keys(family->series), (GCompareFunc)(void (*)(void))strcmp);

	reader->metric(reader->arg, family->name, types[family->type], family->help);
	for (GList *at = keys; at; at = at->next)
		tell_series(reader, g_hash_table_lookup(family->series, at->data));
	g_list_free(keys);
	return FALSE;
}

void
metric_each(const struct metric_reader *reader)
{
	pthread_mutex_lock(&table.lock);
	if (table.families)
		g_tree_foreach(table.families, tell_family, (gpointer)(uintptr_t)reader);
	pthread_mutex_unlock(&table.lock);
}
