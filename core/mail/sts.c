/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.c - reads what a domain says of MTA-STS, as strictly as RFC 8461 writes it.
 *
 * Called with bytes of strangers: by whoever asks the DNS and policy hosts, and with what the
 * database has kept. Must never take half a policy: what is wrong anywhere is no policy at all.
 */
#include <core/base/buf.h>
#include <core/mail/sts.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VERSION      "STSv1"
#define RECORD_MOST  4096 /* bytes of all its strings */
#define NAME_MOST    32
#define MX_TEXT_MOST 512 /* of a pattern as written, in U-labels perhaps */

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct pn_slice
trim(struct pn_slice text)
{
	while (text.len > 0 && is_blank(*text.data))
		text = pn_slice(text.data + 1, text.len - 1);
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

static bool
is_text(struct pn_slice text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* sts-ext-name and sts-policy-ext-name */
static bool
is_name(struct pn_slice name)
{
	if (name.len == 0 || name.len > NAME_MOST || !is_alnum(*name.data))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!is_alnum(name.data[i]) && !memchr("_-.", name.data[i], 3))
			return false;
	return true;
}

/* What stands before `end`, or all; `rest` is what stands behind it. False: nothing is left. */
static bool
take(struct pn_slice *rest, char end, struct pn_slice *ret)
{
	const char *at;

	if (!rest->data)
		return false;
	at = rest->len > 0 ? memchr(rest->data, end, rest->len) : NULL;
	if (!at) {
		*ret = *rest;
		*rest = (struct pn_slice){ 0 };
		return true;
	}
	*ret = pn_slice(rest->data, (size_t)(at - rest->data));
	*rest = pn_slice(at + 1, rest->len - ret->len - 1);
	return true;
}

/* ---- the TXT record (section 3.1) ------------------------------------------------------------ */

static int
join(struct pn_slice rdata, char text[RECORD_MOST], size_t *ret_len)
{
	size_t len = 0;

	while (rdata.len > 0) {
		size_t next = (uint8_t)*rdata.data;

		if (next + 1 > rdata.len || len + next > RECORD_MOST)
			return -ENOENT;
		memcpy(text + len, rdata.data + 1, next);
		len += next;
		rdata = pn_slice(rdata.data + next + 1, rdata.len - next - 1);
	}
	*ret_len = len;
	return 0;
}

/* sts-ext-value; and "id" is no other. */
static bool
is_record_value(struct pn_slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] <= ' ' || value.data[i] > '~' || value.data[i] == '=')
			return false;
	return value.len > 0;
}

static bool
is_id(struct pn_slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!is_alnum(value.data[i]))
			return false;
	return value.len > 0 && value.len < STS_ID_SIZE;
}

static int
read_field(struct pn_slice field, char ret_id[STS_ID_SIZE])
{
	struct pn_slice name, value = field;

	(void)take(&value, '=', &name);
	if (!value.data || !is_name(name) || !is_record_value(value))
		return -EINVAL;
	if (!is_text(name, "id"))
		return 0;
	if (!is_id(value))
		return -EINVAL;
	if (!*ret_id) { /* of several the first (section 3.2's rule) */
		memcpy(ret_id, value.data, value.len);
		ret_id[value.len] = '\0';
	}
	return 0;
}

int
sts_record(struct pn_slice rdata, char ret_id[STS_ID_SIZE])
{
	char text[RECORD_MOST];
	struct pn_slice rest, field;
	size_t len = 0;
	int r = join(rdata, text, &len);

	*ret_id = '\0';
	rest = pn_slice(text, len);
	if (r < 0 || !take(&rest, ';', &field) || !rest.data ||
	    !is_text(trim(field), "v=" VERSION) || len == 0 || *text != 'v')
		return -ENOENT;
	while (r == 0 && take(&rest, ';', &field)) {
		field = trim(field);
		if (field.len == 0 && !rest.data)
			break; /* behind the last delimiter */
		r = read_field(field, ret_id);
	}
	return r < 0 || !*ret_id ? -EINVAL : 0;
}

/* ---- the policy file (section 3.2) ----------------------------------------------------------- */

enum { HAS_VERSION = 1, HAS_MODE = 2, HAS_MAX_AGE = 4 };

struct reading {
	struct sts_policy *policy;
	unsigned has;
	const char *why;
};

static int
refuse(struct reading *reading, const char *why)
{
	reading->why = why;
	return -EINVAL;
}

static const char *const mode_names[] = { "none", "testing", "enforce" };

const char *
sts_mode_name(enum sts_mode mode)
{
	return mode_names[mode];
}

int
sts_mode_parse(struct pn_slice text, enum sts_mode *ret)
{
	for (int i = STS_NONE; i <= STS_ENFORCE; i++) {
		if (!is_text(text, mode_names[i]))
			continue;
		*ret = (enum sts_mode)i;
		return 0;
	}
	return -EINVAL;
}

static int
read_max_age(struct reading *reading, struct pn_slice value)
{
	int64_t seconds = 0;

	if (value.len == 0 || value.len > 10)
		return refuse(reading, "max_age is not a number of at most 10 digits");
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return refuse(reading, "max_age is not a number of at most 10 digits");
		seconds = seconds * 10 + (value.data[i] - '0');
	}
	reading->policy->max_age = seconds < STS_MAX_AGE_MOST ? seconds : STS_MAX_AGE_MOST;
	return 0;
}

/* A name of at least two labels is not asked for: tests and small networks have shorter ones. */
static int
read_mx(struct reading *reading, struct pn_slice value)
{
	struct sts_policy *policy = reading->policy;
	char text[MX_TEXT_MOST], name[2 + MAIL_DOMAIN_MOST + 1] = "*.";
	size_t star = value.len > 2 && memcmp(value.data, "*.", 2) == 0 ? 2 : 0;

	if (value.len >= sizeof(text))
		return refuse(reading, "an mx is too long");
	memcpy(text, value.data + star, value.len - star);
	text[value.len - star] = '\0';
	if (strlen(text) != value.len - star || *text == '[' || strchr(text, '*') ||
	    mail_domain_canonical(text, name + star) < 0 || name[star] == '\0')
		return refuse(reading, "an mx is no host name");
	if (policy->count == STS_MX_MOST)
		return refuse(reading, "it has too many mx");
	policy->patterns[policy->count] = strdup(name);
	if (!policy->patterns[policy->count])
		return refuse(reading, "out of memory");
	policy->count++;
	return 0;
}

/* Of the first field of that name; others are ignored. */
static bool
is_first(struct reading *reading, unsigned bit)
{
	bool first = !(reading->has & bit);

	reading->has |= bit;
	return first;
}

static int
take_field(struct reading *reading, struct pn_slice name, struct pn_slice value)
{
	if (is_text(name, "mx"))
		return read_mx(reading, value);
	if (is_text(name, "version") && is_first(reading, HAS_VERSION))
		return is_text(value, VERSION) ? 0 : refuse(reading, "its version is not " VERSION);
	if (is_text(name, "mode") && is_first(reading, HAS_MODE))
		return sts_mode_parse(value, &reading->policy->mode) == 0
			   ? 0
			   : refuse(reading, "its mode is none of enforce, testing and none");
	if (is_text(name, "max_age") && is_first(reading, HAS_MAX_AGE))
		return read_max_age(reading, value);
	return 0;
}

/* Bytes of UTF-8 are left to those who know the field. */
static bool
has_control(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((uint8_t)text.data[i] < ' ' && text.data[i] != '\t')
			return true;
		else if (text.data[i] == '\x7f')
			return true;
	return false;
}

static int
read_line(struct reading *reading, struct pn_slice line)
{
	struct pn_slice name, value = line;

	if (has_control(line))
		return refuse(reading, "it has control characters");
	(void)take(&value, ':', &name);
	if (!value.data || !is_name(name))
		return refuse(reading, "a line is not \"name: value\"");
	value = trim(value);
	if (value.len == 0)
		return refuse(reading, "a field has no value");
	return take_field(reading, name, value);
}

static int
judge(struct reading *reading)
{
	const struct sts_policy *policy = reading->policy;

	if (!(reading->has & HAS_VERSION))
		return refuse(reading, "it has no version");
	if (!(reading->has & HAS_MODE))
		return refuse(reading, "it has no mode");
	if (!(reading->has & HAS_MAX_AGE))
		return refuse(reading, "it has no max_age");
	if (policy->count == 0 && policy->mode != STS_NONE)
		return refuse(reading, "it has no mx");
	return 0;
}

int
sts_policy_parse(struct pn_slice file, struct sts_policy *ret, const char **why)
{
	struct reading reading = { .policy = ret };
	struct pn_slice rest = file, line;
	int r = 0;

	*ret = (struct sts_policy){ 0 };
	if (file.len > STS_FILE_MOST)
		r = refuse(&reading, "it is too long");
	while (r == 0 && take(&rest, '\n', &line)) {
		if (line.len > 0 && line.data[line.len - 1] == '\r')
			line.len--;
		/* Section 3.2 has no empty lines; files that end with some are common. */
		if (trim(line).len > 0)
			r = read_line(&reading, line);
	}
	if (r == 0)
		r = judge(&reading);
	*why = reading.why;
	return r;
}

void
sts_policy_clear(struct sts_policy *policy)
{
	for (size_t i = 0; i < policy->count; i++)
		free(policy->patterns[i]);
	policy->count = 0;
}

char *
sts_policy_print(const struct sts_policy *policy)
{
	struct buf text = BUF_INIT(STS_FILE_MOST);
	char *copy = NULL;
	int r = buf_printf(&text, "version: " VERSION "\nmode: %s\nmax_age: %lld\n",
	    sts_mode_name(policy->mode), (long long)policy->max_age);

	for (size_t i = 0; r == 0 && i < policy->count; i++)
		r = buf_printf(&text, "mx: %s\n", policy->patterns[i]);
	if (r == 0 && buf_text(&text))
		copy = strdup(text.data);
	buf_free(&text);
	return copy;
}

/* ---- use ------------------------------------------------------------------------------------- */

bool
sts_policy_allows(const struct sts_policy *policy, const char *host)
{
	const char *dot = strchr(host, '.');

	for (size_t i = 0; i < policy->count; i++) {
		const char *pattern = policy->patterns[i];

		if (*pattern != '*' && strcmp(pattern, host) == 0)
			return true;
		if (*pattern == '*' && dot && dot != host && strcmp(pattern + 1, dot) == 0)
			return true;
	}
	return false;
}
