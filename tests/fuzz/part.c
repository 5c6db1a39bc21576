/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.c - fuzz target: the parts of a message, decoded, and text put into each.
 *
 * Input: a message. Parts lie inside one another and in order; an edit of one changes nothing
 * outside of it, and the text that went in is read back from there.
 */
#include <core/mail/part.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tag[] = "\r\n\r\n-- \r\nr\xc3\xa9gl\xc3\xa9 \xe2\x82\xac=.\r\n";

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
check_part(const struct pn_part *part, size_t len)
{
	const struct pn_part *parent = part->parent;

	must(part->start <= part->body && part->body <= part->end && part->end <= len);
	must(part->behind > part->index && part->behind <= part->tree->count);
	if (parent)
		must(part->start >= parent->body && part->end <= parent->end &&
		     part->behind <= parent->behind && parent->index < part->index);
	if (part->index + 1 < part->behind)
		return;
	if (part->behind < part->tree->count)
		must(part->tree->parts[part->behind]->start >= part->end);
}

static bool
is_utf8(struct pn_slice text)
{
	for (size_t i = 0; i < text.len;) {
		unsigned char c = (unsigned char)text.data[i++];
		int more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : -1;

		if (more < 0 || (size_t)more > text.len - i)
			return false;
		for (; more > 0; more--)
			if (((unsigned char)text.data[i++] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* Outside of the part every byte is the one it was. */
static void
check_outside(const struct pn_part *part, struct pn_slice old, struct pn_slice new)
{
	size_t behind = old.len - part->end;

	must(new.len >= part->start + behind);
	must(pn_slice_equals(pn_slice(old.data, part->start), pn_slice(new.data, part->start)));
	must(pn_slice_equals(
	    pn_slice(old.data + part->end, behind), pn_slice(new.data + new.len - behind, behind)));
}

static void
check_edit(const struct pn_part *part, struct pn_slice bytes)
{
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };
	struct mail_bytes *made;
	int r = mail_part_splice(
	    part, PN_PART_END, 0, pn_slice(tag, sizeof(tag) - 1), &arena, &edits);

	must(r >= 0 || (r == -ENOTSUP && edits.count == 0));
	must(mail_edits_apply(&edits, bytes, SIZE_MAX, &made) == 0);
	check_outside(part, bytes, pn_slice(made->data, made->len));
	mail_bytes_release(&made);
	arena_free(&arena);
}

static void
check_content(const struct pn_part *part, struct pn_slice bytes)
{
	struct pn_slice got;
	int r = mail_part_raw(part, 1 << 20, &got);

	must(r == 0 || r == -ENOTSUP || r == -E2BIG);
	r = mail_part_text(part, 1 << 20, &got);
	must(r == 0 || r == -ENOTSUP || r == -E2BIG);
	if (r == 0)
		must(is_utf8(got));
	check_edit(part, bytes);
}

static void
check_fields(struct pn_slice bytes)
{
	struct arena arena = { 0 };
	const struct pn_mailbox *boxes;
	const char *text = mail_header_text(bytes, &arena);

	must(is_utf8(pn_slice_of(text)));
	for (size_t i = mail_header_mailboxes(bytes, &arena, &boxes); i > 0; i--)
		must(is_utf8(pn_slice_of(boxes[i - 1].name)) &&
		     is_utf8(pn_slice_of(boxes[i - 1].address)));
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice in = pn_slice(data, size);
	struct mail_parts *parts = NULL;
	struct mail_bytes *bytes;

	must(mail_bytes_new(0, &bytes) == 0);
	must(mail_bytes_append(bytes, data, size, SIZE_MAX) == 0);
	if (mail_parts_read(bytes, &parts, NULL) == 0) {
		must(parts->count > 0 && parts->parts[0]->start == 0 &&
		     parts->parts[0]->end == size && parts->parts[0]->behind == parts->count);
		for (size_t i = 0; i < parts->count; i++) {
			check_part(parts->parts[i], size);
			check_content(parts->parts[i], in);
		}
	}
	mail_parts_release(&parts);
	mail_bytes_release(&bytes);
	check_fields(in);
	must(mail_bytes_in_use() == 0);
	return 0;
}
