/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.c - rows of option tables, and the scalars they read.
 *
 * Called by the filling of settings, by help and by the check of tables. Pure functions; the texts
 * of errors never repeat the value, since it may have come from a file that is not to be shown.
 */
#include <core/base/text.h>
#include <core/config/option.h>
#include <errno.h>
#include <stdio.h>

struct pn_option
option_row(const struct pn_option *rows, size_t row_size, size_t index)
{
	struct pn_option row = { .type = PN_TYPE_END };

	if (rows)
		memcpy(&row, (const char *)rows + index * row_size,
		    row_size < sizeof(row) ? row_size : sizeof(row));
	return row;
}

struct pn_option
option_find(const struct pn_option *rows, size_t row_size, const char *name, size_t *ret_index)
{
	struct pn_option row;
	size_t i;

	for (i = 0; (row = option_row(rows, row_size, i)).type != PN_TYPE_END; i++)
		if (row.name && strcmp(row.name, name) == 0)
			break;
	if (ret_index)
		*ret_index = i;
	return row;
}

bool
option_is_bare(const struct pn_option *rows, size_t row_size)
{
	struct pn_option row = option_row(rows, row_size, 0);

	return row.type != PN_TYPE_END && !row.name;
}

struct unit {
	const char *word;
	int64_t factor;
};

/* Largest first, as ranges are written in the largest unit that divides them. */
static const struct unit size_units[] = {
	{ "t", INT64_C(1) << 40 },
	{ "g", INT64_C(1) << 30 },
	{ "m", INT64_C(1) << 20 },
	{ "k", INT64_C(1) << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

#define SECOND INT64_C(1000)
#define DAY    (24 * 60 * 60 * SECOND)

static const struct unit duration_units[] = {
	{ "y", 365 * DAY },
	{ "w", 7 * DAY },
	{ "d", DAY },
	{ "h", 60 * 60 * SECOND },
	{ "m", 60 * SECOND },
	{ "s", SECOND },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit int_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(const struct pn_option *row)
{
	if (row->type == PN_TYPE_SIZE)
		return size_units;
	return row->type == PN_TYPE_DURATION ? duration_units : int_units;
}

static bool
read_digits(const char **text, int64_t *ret)
{
	int64_t number = 0;

	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; (*text)++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, **text - '0', &number))
			number = INT64_MAX; /* refused by any range, see read_number() */
	*ret = number;
	return true;
}

static bool
read_number(const struct pn_option *row, const char *text, int64_t *ret)
{
	bool minus = row->type == PN_TYPE_INT && *text == '-';
	int64_t number;

	text += minus;
	if (!read_digits(&text, &number))
		return false;
	if (row->type == PN_TYPE_DURATION && number == 0 && !*text) {
		*ret = 0; /* no time at all needs no unit */
		return true;
	}
	for (const struct unit *unit = units_of(row); unit->word; unit++) {
		if (!text_is(pn_slice_of(text), unit->word))
			continue;
		if (__builtin_mul_overflow(number, unit->factor, ret))
			*ret = INT64_MAX;
		if (minus)
			*ret = -*ret;
		return true;
	}
	return false;
}

static void
write_number(const struct pn_option *row, int64_t number, char ret[32])
{
	const struct unit *unit = units_of(row);

	if (number == 0) {
		snprintf(ret, 32, "0");
		return;
	}
	while (unit[1].word && number % unit->factor != 0)
		unit++;
	snprintf(ret, 32, "%lld%s", (long long)(number / unit->factor), unit->word);
}

void
option_range(const struct pn_option *row, char ret[OPTION_RANGE_SIZE])
{
	char min[32], max[32];

	*ret = '\0';
	if (row->min == 0 && row->max == 0)
		return;
	write_number(row, row->min, min);
	write_number(row, row->max, max);
	if (row->max == INT64_MAX)
		snprintf(ret, OPTION_RANGE_SIZE, "at least %s", min);
	else if (row->min == INT64_MIN)
		snprintf(ret, OPTION_RANGE_SIZE, "at most %s", max);
	else
		snprintf(ret, OPTION_RANGE_SIZE, "from %s to %s", min, max);
}

static int
read_bounded(const struct pn_option *row, const char *text, int64_t *ret, struct pn_error *err)
{
	static const char *const wanted[] = {
		[PN_TYPE_INT] = "is not a whole number",
		[PN_TYPE_SIZE] = "is not a size; write for example 64k",
		[PN_TYPE_DURATION] = "is not a duration; write for example 20s",
	};
	char range[OPTION_RANGE_SIZE];
	int64_t number;

	if (!read_number(row, text, &number))
		return pn_error_set(err, -EINVAL, "%s", wanted[row->type]);
	if (number == INT64_MAX || number == -INT64_MAX)
		return pn_error_set(err, -ERANGE, "is too large");
	option_range(row, range);
	if (*range && (number < row->min || number > row->max))
		return pn_error_set(err, -ERANGE, "is out of range; write a value %s", range);
	*ret = number;
	return 0;
}

static int
read_bool(const char *text, bool *ret, struct pn_error *err)
{
	static const char *const yes[] = { "yes", "true", "on" }, *const no[] = { "no", "false",
		"off" };
	struct pn_slice word = pn_slice_of(text);

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (text_is(word, yes[i]) || text_is(word, no[i])) {
			*ret = text_is(word, yes[i]);
			return 0;
		}
	}
	return pn_error_set(err, -EINVAL, "is neither yes nor no");
}

#define WORDS_MOST 64u
#define HINT_MOST  2000u

int
option_choose(const struct pn_choice *choices, const char *word, int *ret, struct pn_error *err)
{
	const char *words[WORDS_MOST + 1];
	struct buf hint = BUF_INIT(sizeof(err->text));
	size_t count = 0;

	for (; choices->word; choices++) {
		if (strcmp(choices->word, word) == 0) {
			*ret = choices->value;
			return 0;
		}
		if (count < WORDS_MOST)
			words[count++] = choices->word;
	}
	words[count] = NULL;
	option_suggest(word, words, &hint);
	pn_error_set(err, -EINVAL, "is not known here%s", hint.data ? buf_text(&hint) : "");
	buf_free(&hint);
	return -EINVAL;
}

int
option_read(const struct pn_option *row, const char *text, void *field, struct pn_error *err)
{
	if (row->type == PN_TYPE_BOOL)
		return read_bool(text, field, err);
	if (row->type == PN_TYPE_CHOICE)
		return option_choose(row->choices, text, field, err);
	return read_bounded(row, text, field, err);
}

/* A hint that does not fit is left out: the place and the word are what matters. */
void
option_suggest(const char *word, const char *const *words, struct buf *ret)
{
	const char *near = text_nearest(word, words);
	int r;

	if (near) {
		r = buf_printf(ret, "; did you mean \"%s\"?", near);
		return;
	}
	r = words[0] ? buf_add_text(ret, "; known: ") : 0;
	for (size_t i = 0; words[i] && r == 0; i++)
		r = buf_printf(ret, "%s%s", i ? ", " : "", words[i]);
}

const char *
option_near(struct arena *arena, const char *word, const char *const *words)
{
	const char *near = text_nearest(word, words);

	return near ? arena_printf(arena, "; did you mean \"%s\"?", near) : "";
}

const char *
option_hint(struct arena *arena, const char *word, const char *const *words)
{
	struct buf hint = BUF_INIT(HINT_MOST);
	const char *text;

	option_suggest(word, words, &hint);
	text = hint.len > 0 ? arena_text(arena, buf_text(&hint)) : "";
	buf_free(&hint);
	return text;
}
