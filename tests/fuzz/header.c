/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - fuzz target: header index, splices, fixups.
 *
 * Input: HELO, user, recipient and some numbers that make splices, each up to a NUL, then a
 * message. What no splice touches is the same to the byte; the fixups put no bare CR or LF into a
 * message that had none, leave no Bcc in a header, and keep body and header apart.
 */
#include <core/mail/fixups.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static bool
has_bare(struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.data[i] == '\n' && (i == 0 || bytes.data[i - 1] != '\r'))
			return true;
		if (bytes.data[i] == '\r' && (i + 1 == bytes.len || bytes.data[i + 1] != '\n'))
			return true;
	}
	return false;
}

static struct mail_header
index_of(struct pn_slice bytes, struct arena *arena)
{
	struct mail_header header;
	size_t at = 0;

	must(mail_header_index(bytes, SIZE_MAX, arena, &header) == 0);
	for (size_t i = 0; i < header.count; i++) {
		const struct mail_field *field = &header.fields[i];
		struct pn_header shown;

		must(field->start == at && field->end > at && field->end <= bytes.len);
		at = field->end;
		if (!mail_header_field(bytes, &header, i, &shown))
			continue;
		must(shown.name.len > 0 && shown.name.data == bytes.data + field->start);
		must(shown.value.data > shown.name.data);
		must(shown.value.data + shown.value.len <= bytes.data + field->end);
	}
	must(header.size == at && header.body <= bytes.len);
	must(header.body == bytes.len || header.body == at + 2);
	return header;
}

/* Walks the outcome beside the original. */
static void
check_splices(const struct mail_edits *edits, struct pn_slice from, struct pn_slice to)
{
	size_t read = 0, written = 0;

	for (size_t i = 0; i < edits->count; i++) {
		const struct mail_splice *splice = &edits->splices[i];
		size_t same = splice->offset - read;

		must(splice->offset >= read);
		must(pn_slice_equals(
		    pn_slice(from.data + read, same), pn_slice(to.data + written, same)));
		written += same;
		must(
		    pn_slice_equals(splice->bytes, pn_slice(to.data + written, splice->bytes.len)));
		written += splice->bytes.len;
		read = splice->offset + splice->length;
	}
	must(pn_slice_equals(pn_slice(from.data + read, from.len - read),
	    pn_slice(to.data + written, to.len - written)));
}

static void
fuzz_edits(const char *numbers, struct pn_slice bytes, struct arena *arena)
{
	struct mail_edits edits = { 0 };
	struct mail_bytes *made;
	size_t len = strlen(numbers);

	for (size_t i = 0; i + 3 <= len && i < 90; i += 3)
		mail_edits_add(&edits, arena, (unsigned char)numbers[i] % (bytes.len + 1),
		    (unsigned char)numbers[i + 1] % 16,
		    pn_slice(numbers + i, (unsigned char)numbers[i + 2] % 3));
	if (mail_edits_apply(&edits, bytes, SIZE_MAX, &made) < 0)
		return;
	check_splices(&edits, bytes, pn_slice(made->data, made->len));
	mail_bytes_release(&made);
}

static struct mail_bytes *
fix(bool submission, const struct mail_facts *facts, const struct mail_envelope *envelope,
    struct pn_slice bytes, const struct mail_header *header, struct arena *arena)
{
	static const char name[] = "relay.example";
	struct mail_fixups how = { .relay_name = name, .id = "06F3K9", .submission = submission };
	struct mail_edits edits = { 0 };
	struct mail_bytes *made;

	must(mail_fixups_edit(&how, facts, envelope, bytes, header, arena, &edits) == 0);
	must(submission || edits.count == 1);
	must(mail_edits_apply(&edits, bytes, SIZE_MAX, &made) == 0);
	check_splices(&edits, bytes, pn_slice(made->data, made->len));
	must(has_bare(bytes) || !has_bare(pn_slice(made->data, made->len)));
	return made;
}

/* Fields of the message, or none where it begins with text, behind the new ones. */
static void
check_fixed(const struct mail_bytes *made, bool submission, struct pn_slice bytes,
    const struct mail_header *old, struct arena *arena)
{
	struct pn_slice fixed = pn_slice(made->data, made->len);
	struct mail_header header = index_of(fixed, arena);

	must(mail_header_find(fixed, &header, "Received", 0) == 0);
	if (!submission) {
		must(header.count == 1 || header.count == old->count + 1);
		must(memcmp(fixed.data + fixed.len - bytes.len, bytes.data, bytes.len) == 0);
		return;
	}
	must(mail_header_find(fixed, &header, "Bcc", 0) == -ENOENT);
	must(mail_header_find(fixed, &header, "Resent-Bcc", 0) == -ENOENT);
	must(mail_header_find(fixed, &header, "Return-Path", 0) == -ENOENT);
	must(mail_header_find(fixed, &header, "Date", 0) > 0);
	must(mail_header_find(fixed, &header, "Message-ID", 0) > 0);
	must(fixed.len >= bytes.len - old->body);
	must(pn_slice_equals(
	    pn_slice(fixed.data + fixed.len - (bytes.len - old->body), bytes.len - old->body),
	    pn_slice(bytes.data + old->body, bytes.len - old->body)));
}

static const char *
take(struct pn_slice *in, struct arena *arena)
{
	const char *nul = in->len ? memchr(in->data, '\0', in->len) : NULL;
	size_t len = nul ? (size_t)(nul - in->data) : 0;
	const char *text = arena_slice(arena, pn_slice(in->data, len));

	if (nul)
		*in = pn_slice(nul + 1, in->len - len - 1);
	return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice in = pn_slice(data, size);
	struct arena arena = { 0 };
	struct mail_facts facts = { .client_literal = "[192.0.2.7]", .esmtp = true };
	struct mail_envelope envelope = { .sender = "a@example.org" };
	struct mail_header header;
	const char *numbers;

	facts.helo = take(&in, &arena);
	facts.user = take(&in, &arena);
	facts.smtputf8 = size % 2;
	mail_envelope_add(&envelope, &arena, take(&in, &arena));
	numbers = take(&in, &arena);
	header = index_of(in, &arena);
	fuzz_edits(numbers, in, &arena);
	for (int submission = 0; submission < 2; submission++) {
		struct mail_bytes *made = fix(submission, &facts, &envelope, in, &header, &arena);

		check_fixed(made, submission, in, &header, &arena);
		mail_bytes_release(&made);
	}
	must(mail_bytes_in_use() == 0);
	arena_free(&arena);
	return 0;
}
