/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixups.h - what a submission server does to every message (RFC 6409 section 8, SPEC R10): the
 * trace header, missing Date, Message-ID and From, Bcc and Return-Path removed, loops noticed.
 */
#ifndef CORE_MAIL_FIXUPS_H
#define CORE_MAIL_FIXUPS_H

#include <core/mail/envelope.h>
#include <core/mail/facts.h>
#include <core/mail/message.h>

struct mail_fixups {
	const char *relay_name;
	const char *id;
	int64_t wall_us; /* time of acceptance */
	bool submission; /* what RFC 6409 asks for; false: left out (`fixups: off`) */
	bool no_trace; /* the trace header is left out: a message gets it once for each rendering */
	bool hide_client; /* trace header without the client's address and HELO (B-28) */
	/*
	 * The field that says how a copy was protected (label.h). What a client wrote there is
	 * removed; `label` NULL: nothing is put there. NULL or "": there is no such field.
	 */
	const char *label_name, *label;
};

/* Adds to `edits` whatever the message needs. The label stands above the trace header. */
int mail_fixups_edit(const struct mail_fixups *how, const struct mail_facts *facts,
    const struct mail_envelope *envelope, struct pn_slice bytes, const struct mail_header *header,
    struct arena *arena, struct mail_edits *edits);
/* RFC 5321 section 6.3: number of Received fields. */
size_t mail_received_count(struct pn_slice bytes, const struct mail_header *header);

#endif
