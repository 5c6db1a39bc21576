/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail.h - mail that Postern makes itself: a warning, a code that its reader is to confirm.
 *
 * pn_mail_send() puts a message into the outbox, which is in the database; a relay accepts it into
 * its spool within seconds of when one runs, and delivers it as any other mail. It has Date,
 * Message-ID and `Auto-Submitted: auto-generated` (RFC 3834 section 5). Of the pipeline it meets
 * the seals alone: no filter, no counter, no copy. A crash may send it twice, with one and the same
 * Message-ID, never not at all.
 *
 * When: as with pn_db_run(): in `start`, in commands, and in hooks from PN_STAGE_COMMITTED on, tick
 * and flush among them; earlier, and in a trial, -EROFS. It goes with the call, whatever the hook
 * answers; in a command it stands in the audit log as a change does. Threads and blocking: it may
 * block for milliseconds; a PN_QUICK hook gets -EWOULDBLOCK. Since ABI 5.
 */
#ifndef POSTERN_MAIL_H
#define POSTERN_MAIL_H

#include <postern/base.h>

struct pn_call;

#define PN_MAIL_KEY_MOST        1000 /* bytes */
#define PN_MAIL_RECIPIENTS_MOST 100
#define PN_MAIL_SUBJECT_MOST    500   /* bytes */
#define PN_MAIL_TEXT_MOST       65536 /* bytes, in lines of 900 at most */

struct pn_mail {
	size_t size; /* sizeof(struct pn_mail) */
	/*
	 * By which the entry knows it again: what has a key that was sent within 30 days, or waits,
	 * is not sent once more. NULL: nothing else is the same.
	 */
	const char *key;
	/*
	 * The return path, also in From. NULL: the null one, so that nobody is told where it fails;
	 * From is then postmaster at the relay's host name.
	 */
	const char *sender;
	size_t recipient_count;
	const char *const *recipients; /* all of them see each other in To */
	const char *subject;           /* one line of UTF-8 */
	const char *text;              /* UTF-8, lines that end with LF */
};

/*
 * Durable when it returns 0; everything is copied. 1: there is one of that key, and nothing was
 * done. -EINVAL: an address is none, or something is not as said above.
 */
PN_PUBLIC int pn_mail_send(struct pn_call *call, const struct pn_mail *mail, struct pn_error *err);

#endif
