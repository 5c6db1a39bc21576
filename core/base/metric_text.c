/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric_text.c - Prometheus' text format: a HELP and a TYPE line for each metric, then its
 * samples.
 *
 * Called by whoever serves the numbers of a process: today its control socket. Numbers are written
 * by no locale.
 */
#include <core/base/metric.h>
#include <glib.h>
#include <math.h>

struct text {
	struct buf *out;
	int r; /* the first error */
};

static void
put(struct text *text, const char *bytes)
{
	if (text->r == 0)
		text->r = buf_add_text(text->out, bytes);
}

/* Backslash and line feed; in label values also the quote. */
static void
put_escaped(struct text *text, const char *bytes, bool quoted)
{
	for (; *bytes && text->r == 0; bytes++) {
		if (*bytes == '\n')
			put(text, "\\n");
		else if (*bytes == '\\' || (quoted && *bytes == '"'))
			put(text, *bytes == '"' ? "\\\"" : "\\\\");
		else
			text->r = buf_add(text->out, bytes, 1);
	}
}

static void
put_number(struct text *text, double value)
{
	char number[G_ASCII_DTOSTR_BUF_SIZE];

	if (isnan(value))
		put(text, "NaN");
	else if (isinf(value))
		put(text, value > 0 ? "+Inf" : "-Inf");
	else
		put(text, g_ascii_formatd(number, sizeof(number), "%.15g", value));
}

static void
put_metric(void *arg, const char *name, const char *type, const char *help)
{
	struct text *text = arg;

	put(text, "# HELP ");
	put(text, name);
	put(text, " ");
	put_escaped(text, help, false);
	put(text, "\n# TYPE ");
	put(text, name);
	put(text, " ");
	put(text, type);
	put(text, "\n");
}

static void
put_sample(void *arg, const char *name, const char *suffix, const struct metric_label *labels,
    size_t count, double value)
{
	struct text *text = arg;

	put(text, name);
	put(text, suffix);
	for (size_t i = 0; i < count; i++) {
		put(text, i == 0 ? "{" : ",");
		put(text, labels[i].name);
		put(text, "=\"");
		put_escaped(text, labels[i].value, true);
		put(text, "\"");
	}
	put(text, count > 0 ? "} " : " ");
	put_number(text, value);
	put(text, "\n");
}

int
metric_text(struct buf *ret)
{
	struct text text = { ret, 0 };
	const struct metric_reader reader = { put_metric, put_sample, &text };

	metric_each(&reader);
	return text.r;
}
