/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_verdict.c - the constructors of verdicts.
 *
 * Called by hooks. A verdict is a number that says which constructor made it; what it carries
 * stands in the call. Must never let a control character reach a client.
 */
#include <core/policy/call.h>
#include <errno.h>
#include <glib.h>
#include <postern/module.h>
#include <stdio.h>

#define CHOICE_MOST (8u * 1024)

static struct pn_verdict
made(struct pn_call *call, enum verdict_kind kind)
{
	call->kind = (int32_t)kind;
	return (struct pn_verdict){ (int32_t)kind, ++call->serial };
}

/* How many bytes at `text` may go out as they are: a printable character; 0: none. */
static size_t
printable(const char *text, bool utf8)
{
	gunichar c;

	if ((unsigned char)*text < 0x80)
		return *text >= ' ' && *text < 0x7f;
	if (!utf8)
		return 0;
	c = g_utf8_get_char_validated(text, -1);
	if (c == (gunichar)-1 || c == (gunichar)-2 || !g_unichar_isprint(c))
		return 0;
	return (size_t)g_utf8_skip[(unsigned char)*text];
}

/*
 * One line that a client may read, '?' for a character that it may not. A reply is ASCII unless the
 * transaction asked for SMTPUTF8 (RFC 6531 section 3.2).
 */
static const char *
clean(struct pn_call *call, const char *text)
{
	char *ret = arena_alloc(&call->arena, CALL_TEXT_MOST + 1);
	bool utf8 = call->txn && call->txn->facts.smtputf8;
	size_t len = 0;

	while (*text) {
		size_t n = printable(text, utf8);

		if (len + (n ? n : 1) > CALL_TEXT_MOST)
			break;
		if (n > 0) {
			memcpy(ret + len, text, n);
			len += n;
		} else if (((unsigned char)*text & 0xc0) != 0x80) { /* once a character */
			ret[len++] = '?';
		}
		text += n ? n : 1;
	}
	return ret;
}

PN_PRINTF(2, 0)
static void
set_text(struct pn_call *call, const char *format, va_list args)
{
	char text[4 * CALL_TEXT_MOST];

	vsnprintf(text, sizeof(text), format, args);
	call->text = clean(call, text);
}

struct pn_verdict
pn_pass(void)
{
	return (struct pn_verdict){ VERDICT_PASS, 0 };
}

struct pn_verdict
pn_not_quick(void)
{
	return (struct pn_verdict){ VERDICT_NOT_QUICK, 0 };
}

struct pn_verdict
pn_pass_because(struct pn_call *call, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_text(call, format, args);
	va_end(args);
	return made(call, VERDICT_PASS);
}

/* RFC 3463 section 2: class, subject and detail, the class that of the code. */
static bool
enhanced_valid(const char *enhanced, int class)
{
	int digits = 0;

	if (!enhanced || enhanced[0] != '0' + class || enhanced[1] != '.')
		return false;
	for (const char *at = enhanced + 2; *at; at++) {
		if (*at == '.' && digits > 0 && at[1] && strchr(enhanced + 2, '.') == at) {
			digits = 0;
			continue;
		}
		if (*at < '0' || *at > '9' || ++digits > 3)
			return false;
	}
	return strchr(enhanced + 2, '.') != NULL;
}

PN_PRINTF(5, 0)
static struct pn_verdict
refuse(struct pn_call *call, enum verdict_kind kind, int code, const char *enhanced,
    const char *format, va_list args)
{
	int class = kind == VERDICT_REJECT ? 5 : 4;

	if (code / 100 != class || !enhanced_valid(enhanced, class))
		return pn_fault(
		    call, 0, "refused with the codes %d %s", code, enhanced ? enhanced : "(none)");
	set_text(call, format, args);
	call->code = code;
	call->enhanced = arena_text(&call->arena, enhanced);
	return made(call, kind);
}

struct pn_verdict
pn_reject(struct pn_call *call, int code, const char *enhanced, const char *format, ...)
{
	struct pn_verdict verdict;
	va_list args;

	va_start(args, format);
	verdict = refuse(call, VERDICT_REJECT, code, enhanced, format, args);
	va_end(args);
	return verdict;
}

struct pn_verdict
pn_defer(struct pn_call *call, int code, const char *enhanced, const char *format, ...)
{
	struct pn_verdict verdict;
	va_list args;

	va_start(args, format);
	verdict = refuse(call, VERDICT_DEFER, code, enhanced, format, args);
	va_end(args);
	return verdict;
}

struct pn_verdict
pn_discard(struct pn_call *call, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_text(call, format, args);
	va_end(args);
	return made(call, VERDICT_DISCARD);
}

struct pn_verdict
pn_hold(struct pn_call *call, int64_t ms, enum pn_hold_end end, const char *format, ...)
{
	va_list args;

	if (!(call->entry->module->flags & PN_HOLDS))
		return pn_fault(call, -EPERM, "pn_hold: the module is not flagged PN_HOLDS");
	if (ms < 0 || end < PN_HOLD_BOUNCE || end > PN_HOLD_DELETE)
		return pn_fault(call, -EINVAL, "pn_hold: for how long, and then what?");
	va_start(args, format);
	set_text(call, format, args);
	va_end(args);
	call->hold_ms = ms;
	call->hold_end = end;
	return made(call, VERDICT_HOLD);
}

/* For the log alone, which escapes what it must. */
struct pn_verdict
pn_fault(struct pn_call *call, int r, const char *format, ...)
{
	char text[4 * CALL_TEXT_MOST];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	call->text = r < 0 ? arena_printf(&call->arena, "%s: %s", text, strerror(-r))
			   : arena_text(&call->arena, text);
	return made(call, VERDICT_FAULT);
}

struct pn_verdict
pn_challenge(struct pn_call *call, struct pn_slice challenge)
{
	call->text = NULL;
	call->challenge = pn_slice(arena_slice(&call->arena, challenge), challenge.len);
	return made(call, VERDICT_CHALLENGE);
}

struct pn_verdict
pn_identified(struct pn_call *call, const char *user)
{
	if (!user || !*user)
		return pn_fault(call, 0, "identified nobody");
	call->text = arena_text(&call->arena, user);
	return made(call, VERDICT_IDENTIFIED);
}

bool
pn_method_provided(const struct pn_call *call, const char *method)
{
	struct provided unused;

	return provider_find(call->generation, call->entry, method, &unused) == 0;
}

struct pn_verdict
pn_choose(struct pn_call *call, const char *method, struct pn_slice choice, const char *format, ...)
{
	va_list args;

	if (provider_find(call->generation, call->entry, method, &call->chosen) < 0)
		return pn_fault(
		    call, 0, "chose the method \"%.64s\", which nobody provides", method);
	if (choice.len > CHOICE_MOST)
		return pn_fault(call, 0, "chose with more than %u bytes", CHOICE_MOST);
	va_start(args, format);
	set_text(call, format, args);
	va_end(args);
	call->choice = pn_slice(arena_slice(&call->arena, choice), choice.len);
	return made(call, VERDICT_CHOOSE);
}
