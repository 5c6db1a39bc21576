/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_text.c - what is in a part: transfer encoding and charset undone, and done again for text
 * that goes in; header fields decoded.
 *
 * Called when a hook asks for it, on any thread. Must never give out a byte that is not UTF-8 as
 * text, nor more than it was asked for.
 */
#include <core/base/text.h>
#include <core/mail/part.h>
#include <core/mail/part_stream.h>
#include <errno.h>
#include <gmime/gmime.h>
#include <iconv.h>
#include <stdio.h>

#define STEP 4096u /* what is converted at once */

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
#define REPLACEMENT_LEN (sizeof(replacement) - 1)

/* ---- transfer encoding ----------------------------------------------------------------------- */

/* The lines of data stand behind a line "begin 644 name". */
static struct pn_slice
behind_begin(struct pn_slice body)
{
	const char *begin = memmem(body.data, body.len, "begin ", 6), *lf;

	if (!begin || (begin != body.data && begin[-1] != '\n'))
		return body;
	lf = memchr(begin, '\n', body.len - (size_t)(begin - body.data));
	return lf ? pn_slice(lf + 1, body.len - (size_t)(lf + 1 - body.data)) : body;
}

static int
decode(const struct pn_part *part, struct pn_slice body, size_t most, struct mail_bytes **ret)
{
	GMimeContentEncoding kind = part->encoding == MAIL_ENCODING_QP
					? GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE
				    : part->encoding == MAIL_ENCODING_UU
					? GMIME_CONTENT_ENCODING_UUENCODE
					: GMIME_CONTENT_ENCODING_BASE64;
	GMimeEncoding state;
	struct mail_bytes *bytes;
	char out[STEP + 64];
	int r = mail_bytes_new(0, &bytes);

	if (r < 0)
		return r;
	if (part->encoding == MAIL_ENCODING_UU)
		body = behind_begin(body);
	g_mime_encoding_init_decode(&state, kind);
	for (size_t at = 0; at < body.len && r == 0; at += STEP) {
		size_t len = body.len - at < STEP ? body.len - at : STEP;

		len = g_mime_encoding_step(&state, body.data + at, len, out);
		r = mail_bytes_append(bytes, out, len, most);
	}
	if (r < 0) {
		mail_bytes_release(&bytes);
		return r;
	}
	mail_bytes_trim(bytes);
	*ret = bytes;
	return 0;
}

static struct pn_slice
slice_of(const struct mail_bytes *bytes)
{
	return pn_slice(bytes->data ? bytes->data : "", bytes->len);
}

/* The lock is held. What is lazily made is not part of what the caller may not change. */
static int
raw_locked(struct pn_part *part, size_t most, struct pn_slice *ret)
{
	struct pn_slice body = mail_part_body(part);
	int r = 0;

	if (part->behind > part->index + 1 || part->encoding == MAIL_ENCODING_UNKNOWN)
		return -ENOTSUP;
	if (part->encoding == MAIL_ENCODING_PLAIN) {
		*ret = body;
		return body.len > most ? -E2BIG : 0;
	}
	if (!part->raw)
		r = decode(part, body, most, &part->raw);
	if (r < 0)
		return r;
	*ret = slice_of(part->raw);
	return ret->len > most ? -E2BIG : 0;
}

static struct pn_part *
lock(const struct pn_part *part)
{
	pthread_mutex_lock(&part->tree->lock);
	return part->tree->parts[part->index];
}

static void
unlock(const struct pn_part *part)
{
	pthread_mutex_unlock(&part->tree->lock);
}

int
mail_part_raw(const struct pn_part *part, size_t most, struct pn_slice *ret)
{
	int r = raw_locked(lock(part), most, ret);

	unlock(part);
	return r;
}

/* ---- charset --------------------------------------------------------------------------------- */

struct charset {
	const char *name; /* for iconv */
	size_t mark;      /* bytes of a byte order mark in front */
	size_t unit;      /* what one that cannot be decoded takes */
};

static bool
begins(struct pn_slice raw, const char *bytes, size_t len)
{
	return raw.len >= len && memcmp(raw.data, bytes, len) == 0;
}

/* RFC 2781 section 4.3 says big-endian where nothing else does; what is seen speaks louder. */
static bool
looks_little(struct pn_slice raw)
{
	size_t even = 0, odd = 0;

	for (size_t i = 0; i + 1 < raw.len && i < 256; i += 2) {
		even += raw.data[i] == 0;
		odd += raw.data[i + 1] == 0;
	}
	return odd > even;
}

static struct charset
charset_of(const struct pn_part *part, struct pn_slice raw)
{
	const char *name = part->charset;

	if (!strcmp(name, "utf-8") || !strcmp(name, "utf8"))
		return (struct charset){ "UTF-8", begins(raw, "\xef\xbb\xbf", 3) ? 3 : 0, 1 };
	if (!strncmp(name, "utf-16", 6)) {
		bool little_mark = begins(raw, "\xff\xfe", 2),
		     big_mark = begins(raw, "\xfe\xff", 2);
		bool little = !strcmp(name, "utf-16le") ||
			      (strcmp(name, "utf-16be") != 0 &&
				  (little_mark || (!big_mark && looks_little(raw))));

		return (struct charset){ little ? "UTF-16LE" : "UTF-16BE",
			(little ? little_mark : big_mark) ? 2 : 0, 2 };
	}
	/* GMime takes it for the charset of whoever started the relay. */
	return (struct charset){ strcmp(name, "x-unknown") != 0 ? name : "US-ASCII", 0, 1 };
}

static iconv_t
open_from(const struct charset *charset)
{
	iconv_t cd = g_mime_iconv_open("UTF-8", charset->name);

	return cd == (iconv_t)-1 ? iconv_open("UTF-8", "US-ASCII") : cd;
}

struct conversion {
	iconv_t cd;
	size_t unit;
	char *in;
	size_t in_left;
	size_t made, limit; /* bytes of UTF-8 */
	bool lossy;
};

static int
give(struct conversion *to, struct mail_bytes *out, const char *data, size_t len)
{
	to->made += len;
	return out ? mail_bytes_append(out, data, len, to->limit) : 0;
}

/* Something that is none stands here: `len` bytes of it. 0 to go on, 1 at the limit or the end. */
static int
replace(struct conversion *to, struct mail_bytes *out, size_t len)
{
	int r;

	to->lossy = true;
	if (to->limit - to->made < REPLACEMENT_LEN)
		return 1;
	r = give(to, out, replacement, REPLACEMENT_LEN);
	len = len < to->in_left ? len : to->in_left;
	to->in += len;
	to->in_left -= len;
	return r < 0 ? r : to->in_left == 0;
}

/* How many bytes from here on are UTF-8 (RFC 3629). */
static size_t
valid_run(const char *data, size_t len)
{
	size_t run = 0;

	while (run < len) {
		const char *end;

		if (g_utf8_validate(data + run, (gssize)(len - run), &end))
			return len;
		run = (size_t)(end - data);
		if (data[run] != '\0')
			break;
		run++; /* a character like others, for all but GLib */
	}
	return run;
}

/* By hand: iconv() lets UTF-8 of five bytes pass. */
static int
step_utf8(struct conversion *to, struct mail_bytes *out)
{
	size_t run = valid_run(to->in, to->in_left), len = run;
	int r;

	if (len > to->limit - to->made)
		for (len = to->limit - to->made; len > 0 && (to->in[len] & 0xc0) == 0x80;)
			len--;
	r = give(to, out, to->in, len);
	to->in += len;
	to->in_left -= len;
	if (r < 0 || len < run || to->in_left == 0)
		return r < 0 ? r : 1;
	return replace(to, out, 1);
}

static int
step_iconv(struct conversion *to, struct mail_bytes *out)
{
	char made[STEP], *at = made;
	size_t room = to->limit - to->made, space = room < STEP ? room : STEP;
	size_t converted = iconv(to->cd, &to->in, &to->in_left, &at, &space);
	int error = converted == (size_t)-1 ? errno : 0;
	int r;

	if (valid_run(made, (size_t)(at - made)) != (size_t)(at - made))
		return -ENOTSUP; /* what is no charset of mail may say what Unicode has not */
	r = give(to, out, made, (size_t)(at - made));
	if (r < 0 || error == 0)
		return r < 0 ? r : 1;
	if (error == E2BIG)
		return at == made; /* or the next character does not fit */
	return replace(to, out, error == EINVAL ? to->in_left : to->unit); /* cut off; none */
}

/* Converts until the end of `raw` or the limit; what is left is in the conversion. */
static int
convert(const struct pn_part *part, struct pn_slice raw, size_t limit, struct conversion *to,
    struct mail_bytes *out)
{
	struct charset charset = charset_of(part, raw);
	bool utf8 = !strcmp(charset.name, "UTF-8");
	int r;

	*to = (struct conversion){
		.cd = utf8 ? (iconv_t)-1 : open_from(&charset),
		.unit = charset.unit,
		.in = (char *)(uintptr_t)raw.data + charset.mark,
		.in_left = raw.len - charset.mark,
		.limit = limit,
	};
	if (!utf8 && to->cd == (iconv_t)-1)
		return -ENOMEM;
	do
		r = utf8 ? step_utf8(to, out) : step_iconv(to, out);
	while (r == 0);
	if (!utf8)
		iconv_close(to->cd);
	return r < 0 ? r : 0;
}

static int
text_locked(struct pn_part *part, size_t most, struct pn_slice *ret)
{
	struct conversion to;
	struct mail_bytes *bytes;
	struct pn_slice raw;
	int r;

	if (!part->is_text)
		return -ENOTSUP;
	if (part->text) {
		*ret = slice_of(part->text);
		return ret->len > most ? -E2BIG : 0;
	}
	/* No charset makes less than half a byte of UTF-8 out of one. */
	r = raw_locked(part, most > SIZE_MAX / 4 ? SIZE_MAX : 4 * most, &raw);
	if (r == 0)
		r = mail_bytes_new(0, &bytes);
	if (r < 0)
		return r;
	r = convert(part, raw, most, &to, bytes);
	if (r == 0 && to.in_left > 0)
		r = -E2BIG;
	if (r < 0) {
		mail_bytes_release(&bytes);
		return r;
	}
	mail_bytes_trim(bytes);
	part->lossy = to.lossy;
	part->text = bytes;
	*ret = slice_of(bytes);
	return 0;
}

int
mail_part_text(const struct pn_part *part, size_t most, struct pn_slice *ret)
{
	int r = text_locked(lock(part), most, ret);

	unlock(part);
	return r;
}

int
mail_part_find(const struct pn_part *part, struct pn_slice raw, size_t offset, size_t *ret)
{
	struct conversion to;
	int r;

	r = convert(part, raw, offset, &to, NULL);
	if (r < 0)
		return r;
	*ret = raw.len - to.in_left;
	return to.made == offset ? 0 : -EINVAL;
}

/* ---- into a charset -------------------------------------------------------------------------- */

/* Length of the UTF-8 character that stands at `text`; one byte of what is none. */
static size_t
character(struct pn_slice text, uint32_t *ret)
{
	gunichar c = g_utf8_get_char_validated(text.data, (gssize)text.len);

	*ret = c >= 0xfffffffeu ? 0xfffd : c;
	return c >= 0xfffffffeu ? 1 : (size_t)g_utf8_skip[(unsigned char)text.data[0]];
}

static int
add_converted(iconv_t cd, const char *data, size_t len, struct buf *ret)
{
	char out[STEP], *in = (char *)(uintptr_t)data;

	do {
		char *at = out;
		size_t space = sizeof(out);
		size_t converted = iconv(cd, data ? &in : NULL, data ? &len : NULL, &at, &space);
		int error = converted == (size_t)-1 ? errno : 0;

		if (buf_add(ret, out, (size_t)(at - out)) < 0)
			return -ENOMEM;
		if (error != 0 && error != E2BIG)
			return -EILSEQ;
		if (error == 0 && converted > 0)
			return -EILSEQ; /* something like it is not it */
	} while (data && len > 0);
	return 0;
}

/* Character by character: texts that go in are short, and each may need something else. */
static int
encode_character(iconv_t cd, struct pn_slice text, struct mail_charset_how how, struct buf *ret)
{
	char reference[16];
	uint32_t c;
	size_t len = character(text, &c), before = ret->len;
	bool sound = c != 0xfffd || len > 1;
	int r = add_converted(
	    cd, sound ? text.data : replacement, sound ? len : REPLACEMENT_LEN, ret);

	if (r != -EILSEQ)
		return r < 0 ? r : 0;
	ret->len = before;
	if (how.reference) {
		snprintf(reference, sizeof(reference), "&#%u;", (unsigned)c);
		r = add_converted(cd, reference, strlen(reference), ret);
	} else if (how.force) {
		r = add_converted(cd, "?", 1, ret);
		return r < 0 ? r : 1;
	}
	return r;
}

int
mail_part_encode(const struct pn_part *part, struct pn_slice raw, struct pn_slice text,
    struct mail_charset_how how, struct buf *ret)
{
	struct charset charset = charset_of(part, raw);
	iconv_t cd = g_mime_iconv_open(charset.name, "UTF-8");
	int r = 0, lost = 0;

	if (cd == (iconv_t)-1)
		cd = iconv_open("US-ASCII", "UTF-8");
	if (cd == (iconv_t)-1)
		return -ENOMEM;
	while (text.len > 0 && r >= 0) {
		uint32_t c;
		size_t len = character(text, &c);

		r = encode_character(cd, text, how, ret);
		lost += r > 0;
		text = pn_slice(text.data + len, text.len - len);
	}
	if (r >= 0)
		r = add_converted(cd, NULL, 0, ret); /* back to the initial state */
	iconv_close(cd);
	return r < 0 ? r : lost;
}

/* ---- header fields --------------------------------------------------------------------------- */

static const char *
copy_utf8(struct arena *arena, const char *text)
{
	char *valid = g_utf8_make_valid(text ? text : "", -1);
	const char *copy = arena_text(arena, valid);

	g_free(valid);
	return copy;
}

const char *
mail_header_text(struct pn_slice value, struct arena *arena)
{
	char *line = arena_slice(arena, value), *decoded;
	const char *text;
	size_t len = 0;

	part_gmime_init();
	for (size_t i = 0; i < value.len; i++)
		if (line[i] != '\r' && line[i] != '\n' && line[i] != '\0')
			line[len++] = line[i];
	line[len] = '\0';
	decoded = g_mime_utils_header_decode_text(NULL, g_strstrip(line));
	text = copy_utf8(arena, decoded);
	g_free(decoded);
	return text;
}

struct mailboxes {
	struct arena *arena;
	struct pn_mailbox *items;
	size_t count, capacity;
};

static void
add_mailboxes(struct mailboxes *to, InternetAddressList *list)
{
	for (int i = 0; i < internet_address_list_length(list); i++) {
		InternetAddress *item = internet_address_list_get_address(list, i);
		const char *name = internet_address_get_name(item);

		if (INTERNET_ADDRESS_IS_GROUP(item)) {
			add_mailboxes(
			    to, internet_address_group_get_members(INTERNET_ADDRESS_GROUP(item)));
			continue;
		}
		if (to->count == to->capacity) {
			struct pn_mailbox *more;

			to->capacity = to->capacity ? 2 * to->capacity : 4;
			more = arena_alloc(to->arena, to->capacity * sizeof(*more));
			if (to->count > 0)
				memcpy(more, to->items, to->count * sizeof(*more));
			to->items = more;
		}
		to->items[to->count++] = (struct pn_mailbox){
			.name = copy_utf8(to->arena, name),
			.address = copy_utf8(to->arena,
			    internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(item))),
		};
	}
}

size_t
mail_header_mailboxes(struct pn_slice value, struct arena *arena, const struct pn_mailbox **ret)
{
	struct mailboxes to = { .arena = arena };
	InternetAddressList *list;

	if (value.len > MAIL_PARTS_ADDRESSES)
		return 0;
	part_gmime_init();
	list = internet_address_list_parse(NULL, arena_slice(arena, value));
	if (list) {
		add_mailboxes(&to, list);
		g_object_unref(list);
	}
	*ret = to.items;
	return to.count;
}
