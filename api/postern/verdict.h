/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.h - what a hook answers.
 *
 * Verdicts are made by the constructors below and in no other way. The first verdict other than
 * pass ends the stage; at PN_STAGE_RECIPIENT it ends it for that recipient only; at
 * PN_STAGE_COMMITTED and PN_STAGE_ABORTED every entry runs whatever the others said.
 *
 * Texts go to the client: one line, ASCII or UTF-8, saying what to do next and repeating nothing
 * that the client sent. Control characters are replaced by '?'. They are copied, so the caller's
 * buffer may go.
 */
#ifndef POSTERN_VERDICT_H
#define POSTERN_VERDICT_H

#include <postern/base.h>

struct pn_call;

/* Opaque: passed by value, built only by the constructors, valid until the hook has returned. */
struct pn_verdict {
	int32_t kind;
	int32_t detail;
};

/* Nothing to object to; the hook's edits stand. */
PN_PUBLIC struct pn_verdict pn_pass(void);

/* The same, with a reason for the trace ("sender is exempt"). */
PN_PUBLIC struct pn_verdict pn_pass_because(struct pn_call *call, const char *format, ...)
    PN_PRINTF(2, 3);

/* Refused for good: `code` 500-599, `enhanced` "5.x.y" (RFC 3463). Edits fall. */
PN_PUBLIC struct pn_verdict pn_reject(
    struct pn_call *call, int code, const char *enhanced, const char *format, ...) PN_PRINTF(4, 5);

/* Refused for now: `code` 400-499, `enhanced` "4.x.y". Edits fall. */
PN_PUBLIC struct pn_verdict pn_defer(
    struct pn_call *call, int code, const char *enhanced, const char *format, ...) PN_PRINTF(4, 5);

/* PN_STAGE_MESSAGE: answered with 250 and thrown away; the log says by whom and why. */
PN_PUBLIC struct pn_verdict pn_discard(struct pn_call *call, const char *format, ...)
    PN_PRINTF(2, 3);

/* What becomes of a held message when its time is up. */
enum pn_hold_end {
	PN_HOLD_BOUNCE,  /* it fails, and the sender is told */
	PN_HOLD_RELEASE, /* the chain goes on */
	PN_HOLD_DELETE   /* it fails, and nobody is told */
};

/*
 * since ABI 3, PN_STAGE_MESSAGE, of a module flagged PN_HOLDS: answered with 250 and kept until
 * somebody releases or deletes it (`posternctl queue`). Edits stand. When it is released, the
 * entries behind this one are asked as if this one had passed, in the configuration of then; where
 * this entry is no longer in the pipeline, it stays held. Recipients may be released apart: those
 * entries then see only these recipients, once for each release, and what they stage is committed
 * with the recipients of its release, by the same id and plan number as that of another. Somebody
 * whom they add and who is a recipient of the message already is left as he is.
 * `ms`: for so long at most, 0: until somebody decides. The text says why: it goes to
 * administrators, and to the sender where the message bounces.
 */
PN_PUBLIC struct pn_verdict pn_hold(struct pn_call *call, int64_t ms, enum pn_hold_end end,
    const char *format, ...) PN_PRINTF(4, 5);

/*
 * Could not decide: `r` is a negative errno. The entry's `on_fault` speaks (defer unless the
 * configuration says otherwise); the text goes to the log, never to the client. Edits fall.
 */
PN_PUBLIC struct pn_verdict pn_fault(struct pn_call *call, int r, const char *format, ...)
    PN_PRINTF(3, 4);

/*
 * For a hook flagged PN_QUICK that cannot answer from memory this time: the core calls it again,
 * for the same subject, on a policy thread where it may block. A second pn_not_quick() is a fault.
 */
PN_PUBLIC struct pn_verdict pn_not_quick(void);

/* PN_STAGE_AUTH: send this challenge (bytes, not base64) and call again with the response. */
PN_PUBLIC struct pn_verdict pn_challenge(struct pn_call *call, struct pn_slice challenge);

/* PN_STAGE_AUTH: the client is this user, a canonical address of the directory. */
PN_PUBLIC struct pn_verdict pn_identified(struct pn_call *call, const char *user);

#endif
