/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c - finds the parts that a reader sees first, or says why there are none to touch.
 *
 * Called once per message. Must never choose an attachment, nor anything inside of what is signed,
 * encrypted or meant for a program.
 */
#include "taglines.h"
#include <string.h>

static const char *const sealed_types[] = { "multipart/signed", "multipart/encrypted",
	"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted",
	"application/pgp", NULL };
static const char *const report_types[] = { "multipart/report", "message/delivery-status",
	"message/disposition-notification", "message/feedback-report", "message/tracking-status",
	NULL };

static bool
is_any(const struct pn_part *part, const char *const *types)
{
	for (size_t i = 0; types[i]; i++)
		if (pn_part_is(part, types[i]))
			return true;
	return false;
}

static bool
is_attachment(const struct pn_part *part)
{
	const char *disposition = pn_part_disposition(part);

	return disposition && strcmp(disposition, "inline") != 0;
}

/* S/MIME that calls itself application/octet-stream (RFC 8551 section 3.9). */
static bool
is_named_sealed(const struct pn_part *part)
{
	const char *name = pn_part_filename(part);
	const char *dot = name ? strrchr(name, '.') : NULL;

	return dot && !pn_part_is(part, "text/*") &&
	       (!g_ascii_strcasecmp(dot, ".p7m") || !g_ascii_strcasecmp(dot, ".p7z"));
}

static enum body_kind look(const struct pn_part *part, struct body *ret);

/* RFC 2046 section 5.1.4: all of them say the same; one that must not be touched speaks for all. */
static enum body_kind
look_alternative(const struct pn_part *part, struct body *ret)
{
	enum body_kind kind = BODY_NONE;

	for (const struct pn_part *child = pn_part_first_child(part); child;
	     child = pn_part_sibling(child)) {
		enum body_kind got = look(child, ret);

		if (got != BODY_NONE && got != BODY_TEXT)
			return got;
		if (got == BODY_TEXT)
			kind = BODY_TEXT;
	}
	return kind;
}

/* The root is the first, or the one that `start` names (RFC 2387 section 3.2). */
static enum body_kind
look_related(const struct pn_part *part, struct body *ret)
{
	const struct pn_part *root = pn_part_first_child(part);
	const char *start = pn_part_parameter(part, "start");
	struct pn_header id;

	for (const struct pn_part *child = root; start && child; child = pn_part_sibling(child)) {
		if (!pn_part_field(child, "Content-ID", 0, &id) ||
		    !memmem(id.value.data, id.value.len, start, strlen(start)))
			continue;
		root = child;
		break;
	}
	return root ? look(root, ret) : BODY_NONE;
}

static enum body_kind
look_mixed(const struct pn_part *part, struct body *ret)
{
	for (const struct pn_part *child = pn_part_first_child(part); child;
	     child = pn_part_sibling(child)) {
		enum body_kind kind = is_attachment(child) ? BODY_NONE : look(child, ret);

		if (kind != BODY_NONE)
			return kind;
	}
	return BODY_NONE;
}

static enum body_kind
look_leaf(const struct pn_part *part, struct body *ret)
{
	if (is_attachment(part))
		return BODY_NONE;
	if (pn_part_is(part, "text/calendar"))
		return BODY_CALENDAR;
	if (!pn_part_is(part, "text/plain") && !pn_part_is(part, "text/html"))
		return BODY_NONE;
	if (ret->count < LEAVES_MOST)
		ret->leaves[ret->count++] = part;
	return BODY_TEXT;
}

static enum body_kind
look(const struct pn_part *part, struct body *ret)
{
	if (is_any(part, sealed_types) || is_named_sealed(part))
		return BODY_SEALED;
	if (is_any(part, report_types))
		return BODY_REPORT;
	if (pn_part_is(part, "multipart/alternative"))
		return look_alternative(part, ret);
	if (pn_part_is(part, "multipart/related"))
		return look_related(part, ret);
	if (pn_part_is(part, "multipart/*"))
		return pn_part_is(part, "multipart/digest") ? BODY_NONE : look_mixed(part, ret);
	return look_leaf(part, ret);
}

void
body_find(const struct pn_part *root, struct body *ret)
{
	*ret = (struct body){ .count = 0 };
	ret->kind = look(root, ret);
}

bool
body_is_armored(struct pn_slice text)
{
	static const char *const lines[] = { "-----BEGIN PGP MESSAGE-----",
		"-----BEGIN PGP SIGNED MESSAGE-----" };

	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		const char *at = memmem(text.data, text.len, lines[i], strlen(lines[i]));

		/* Quoted it is no longer what was signed. */
		if (at && (at == text.data || at[-1] == '\n' || at[-1] == '>'))
			return true;
	}
	return false;
}
