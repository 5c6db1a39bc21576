/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_envelope.c - MAIL and RCPT with the parameters that the next hop offers.
 *
 * Called by courier_letter.c. Must never put a byte on the line that could end it, nor a parameter
 * that was not offered.
 */
#include <core/mail/address.h>
#include <core/smtp/courier_parts.h>
#include <stdio.h>

#define NO_UTF8 "553 5.6.7 SMTPUTF8 is needed and the next hop does not offer it"

/* Nothing that ends a line or a path; the grammar was checked when the message came in. */
static bool
is_sound(const char *address)
{
	bool quoted = false;

	for (; *address; address++) {
		unsigned char c = (unsigned char)*address;

		if (c < ' ' || c == 0x7f || (!quoted && (c == ' ' || c == '<' || c == '>')))
			return false;
		if (c == '\\' && address[1] != '\0')
			address++;
		else if (c == '"')
			quoted = !quoted;
	}
	return !quoted;
}

/* xtext and the like: one word; RFC 6533 section 3 allows UTF-8 in ORCPT. */
static bool
is_word(const char *text, bool utf8)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f || (!utf8 && (*text & 0x80)))
			return false;
	return true;
}

/*
 * As it stands on the line: a domain is the same in A-labels (RFC 5890 section 2.3.2.1), so only a
 * local part that is not ASCII needs SMTPUTF8 (RFC 6531 section 3.2).
 */
static const char *
on_the_wire(const struct courier_letter *letter, const char *address)
{
	const char *at = strrchr(address, '@');
	char ascii[MAIL_ADDRESS_SIZE];

	if (!at || !mail_address_is_utf8(at) || mail_address_canonical(address, ascii) < 0 ||
	    mail_address_is_utf8(ascii))
		return address;
	return arena_text(letter->arena, ascii);
}

static const char *
sender_of(const struct courier_letter *letter)
{
	return on_the_wire(letter, letter->sender ? letter->sender : letter->envelope->sender);
}

static const char *
recipient_of(const struct courier_letter *letter, size_t index)
{
	return on_the_wire(letter, letter->envelope->recipients[letter->indices[index]].address);
}

/* STANDARDS 6531.4: what the client said is nothing to the next hop. */
static bool
needs_utf8(const struct courier_letter *letter)
{
	if (letter->needs_utf8 || mail_address_is_utf8(sender_of(letter)))
		return true;
	for (size_t i = 0; i < letter->count; i++)
		if (letter->results[i].outcome == COURIER_OPEN &&
		    letter->results[i].stage == COURIER_ASKED &&
		    mail_address_is_utf8(recipient_of(letter, i)))
			return true;
	return false;
}

const char *
courier_address_fault(
    const struct courier *courier, struct courier_letter *letter, const char *address)
{
	if (!is_sound(address))
		return "553 5.1.3 the address cannot be sent";
	if (!(courier->offers & COURIER_OFFERS_SMTPUTF8) &&
	    mail_address_is_utf8(on_the_wire(letter, address)))
		return NO_UTF8;
	return NULL;
}

const char *
courier_weakness(const struct courier *courier, const struct courier_letter *letter)
{
	const struct mail_shown shown = tls_shown(&courier->tls);
	struct mail_demand demand = letter->demand;

	/* What could not be asked now may be there in an hour. */
	demand.waits |= demand.level > PN_TLS_NAME && courier->parts.target->terms.unsure;
	return mail_demand_unmet(&demand, &shown, courier->parts.target->host, letter->arena);
}

bool
courier_may_requiretls(const struct courier *courier, const struct courier_letter *letter)
{
	return letter->requiretls && letter->validated && courier->tls.verified &&
	       (courier->offers & COURIER_OFFERS_REQUIRETLS);
}

bool
courier_is_unfit(const struct courier *courier, const struct courier_letter *letter)
{
	uint32_t binary = COURIER_OFFERS_BINARYMIME | COURIER_OFFERS_CHUNKING;

	/* RFC 6152 section 3, RFC 3030 section 3. */
	return letter->binary
		   ? (courier->offers & binary) != binary
		   : letter->has_eightbit && !(courier->offers & COURIER_OFFERS_8BITMIME);
}

const char *
courier_objection(const struct courier *courier, const struct courier_letter *letter)
{
	/* RFC 6531 section 3.2, RFC 1870 section 6. */
	if (!(courier->offers & COURIER_OFFERS_SMTPUTF8) &&
	    (letter->needs_utf8 || mail_address_is_utf8(sender_of(letter))))
		return NO_UTF8;
	if (!letter->may_convert && courier_is_unfit(courier, letter))
		return letter->binary
			   ? "554 5.6.3 BINARYMIME is needed and the next hop does not offer it"
			   : "554 5.6.3 8BITMIME is needed and the next hop does not offer it";
	if (courier->size_most > 0 && letter->len > courier->size_most)
		return "552 5.3.4 larger than the next hop's limit";
	if (!is_sound(sender_of(letter)))
		return "553 5.1.7 the sender's address cannot be sent";
	/* A unix socket is on no network. RFC 8689 section 5: a report is better sent than lost. */
	if (letter->requiretls && *sender_of(letter) && courier->parts.target->local.len == 0 &&
	    !courier_may_requiretls(courier, letter))
		return "550 5.7.30 REQUIRETLS is needed and cannot be asked for";
	return NULL;
}

void
courier_say_mail(struct courier *courier)
{
	static const char *const ret[] = {
		[MAIL_RET_DEFAULT] = "",
		[MAIL_RET_FULL] = " RET=FULL",
		[MAIL_RET_HDRS] = " RET=HDRS",
	};
	const struct courier_letter *letter = courier->letter;
	const struct mail_envelope *envelope = letter->envelope;
	bool dsn = (courier->offers & COURIER_OFFERS_DSN) != 0;
	bool envid = dsn && envelope->envid && is_word(envelope->envid, false);
	char size[32] = "";
	const char *body = "";

	courier->utf8 = needs_utf8(letter);
	if (courier->offers & COURIER_OFFERS_SIZE)
		snprintf(size, sizeof(size), " SIZE=%zu", letter->len);
	if (letter->binary)
		body = " BODY=BINARYMIME";
	else if (letter->has_eightbit)
		body = " BODY=8BITMIME";
	/* AUTH=<>: we vouch for nobody else's login (RFC 4954 section 5). */
	courier_say(courier, "MAIL FROM:<%s>%s%s%s%s%s%s%s%s\r\n", sender_of(letter), size, body,
	    courier->utf8 ? " SMTPUTF8" : "", dsn ? ret[envelope->ret] : "", envid ? " ENVID=" : "",
	    envid ? envelope->envid : "", courier_logs_in(courier->parts.target) ? " AUTH=<>" : "",
	    courier_may_requiretls(courier, letter) ? " REQUIRETLS" : "");
}

static void
notify_words(uint32_t notify, char *ret, size_t size)
{
	if (notify & MAIL_NOTIFY_NEVER)
		snprintf(ret, size, " NOTIFY=NEVER");
	else if (notify)
		snprintf(ret, size, " NOTIFY=%s%s%s%s%s",
		    notify & MAIL_NOTIFY_SUCCESS ? "SUCCESS" : "",
		    notify & MAIL_NOTIFY_SUCCESS && notify & ~MAIL_NOTIFY_SUCCESS ? "," : "",
		    notify & MAIL_NOTIFY_FAILURE ? "FAILURE" : "",
		    notify & MAIL_NOTIFY_FAILURE && notify & MAIL_NOTIFY_DELAY ? "," : "",
		    notify & MAIL_NOTIFY_DELAY ? "DELAY" : "");
	else
		*ret = '\0';
}

void
courier_say_rcpt(struct courier *courier, size_t index)
{
	const struct courier_letter *letter = courier->letter;
	const struct mail_recipient *recipient = &letter->envelope
						      ->recipients[letter->indices[index]];
	bool dsn = (courier->offers & COURIER_OFFERS_DSN) != 0;
	bool orcpt = dsn && recipient->orcpt && is_word(recipient->orcpt, courier->utf8);
	char notify[48] = "";

	if (dsn)
		notify_words(recipient->notify, notify, sizeof(notify));
	courier_say(courier, "RCPT TO:<%s>%s%s%s\r\n", recipient_of(letter, index), notify,
	    orcpt ? " ORCPT=" : "", orcpt ? recipient->orcpt : "");
}
