/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_txn.c - what a hook may read: the session, the envelope, the message.
 *
 * Called by hooks on the transaction they were lent. Must never change it.
 */
#include <core/mail/address.h>
#include <core/net/address.h>
#include <core/policy/txn.h>
#include <errno.h>

static const char *
or_empty(const char *text)
{
	return text ? text : "";
}

/* ---- the session ----------------------------------------------------------------------------- */

const char *
pn_txn_id(const struct pn_txn *txn)
{
	return txn->id;
}

const char *
pn_txn_client_address(const struct pn_txn *txn)
{
	return or_empty(txn->facts.client_address);
}

bool
pn_txn_client_shared(const struct pn_txn *txn)
{
	return txn->facts.client_shared;
}

const char *
pn_txn_listener(const struct pn_txn *txn)
{
	return or_empty(txn->facts.listener);
}

const char *
pn_txn_helo(const struct pn_txn *txn)
{
	return or_empty(txn->facts.helo);
}

const char *
pn_txn_user(const struct pn_txn *txn)
{
	return txn->facts.user;
}

const char *
pn_txn_tls_version(const struct pn_txn *txn)
{
	return txn->facts.tls_version;
}

const char *
pn_txn_tls_cipher(const struct pn_txn *txn)
{
	return txn->facts.tls_cipher;
}

int
pn_txn_tls_bits(const struct pn_txn *txn)
{
	return txn->facts.tls_bits;
}

static const struct certificate *
certificate_of(const struct pn_txn *txn)
{
	static const struct certificate none;

	return txn->facts.certificate ? txn->facts.certificate : &none;
}

const char *
pn_txn_certificate(const struct pn_txn *txn)
{
	return certificate_of(txn)->fingerprint;
}

const char *
pn_txn_certificate_subject(const struct pn_txn *txn)
{
	return certificate_of(txn)->subject;
}

const char *
pn_txn_certificate_key(const struct pn_txn *txn)
{
	return certificate_of(txn)->key;
}

const char *
pn_txn_certificate_address_at(const struct pn_txn *txn, size_t index)
{
	const struct certificate *certificate = certificate_of(txn);

	return index < certificate->address_count ? certificate->addresses[index] : NULL;
}

const char *
pn_txn_certificate_name_at(const struct pn_txn *txn, size_t index)
{
	const struct certificate *certificate = certificate_of(txn);

	return index < certificate->name_count ? certificate->names[index] : NULL;
}

int
pn_fingerprint_canonical(const char *text, char ret[PN_FINGERPRINT_SIZE])
{
	_Static_assert(PN_FINGERPRINT_SIZE == CERTIFICATE_PRINT + 1, "one size for a fingerprint");
	return certificate_read_print(text, ret);
}

/* ---- the envelope ---------------------------------------------------------------------------- */

const char *
pn_txn_sender(const struct pn_txn *txn)
{
	return or_empty(txn->envelope.sender);
}

const char *
pn_txn_original_sender(const struct pn_txn *txn)
{
	return or_empty(txn->envelope.original_sender);
}

size_t
pn_txn_recipient_count(const struct pn_txn *txn)
{
	return txn->envelope.count;
}

const char *
pn_txn_recipient_at(const struct pn_txn *txn, size_t index)
{
	return index < txn->envelope.count ? txn->envelope.recipients[index].address : NULL;
}

const char *
pn_txn_original_recipient_at(const struct pn_txn *txn, size_t index)
{
	return index < txn->envelope.count ? txn->envelope.recipients[index].original : NULL;
}

int
pn_address_canonical(const char *address, char ret[PN_ADDRESS_SIZE])
{
	_Static_assert(PN_ADDRESS_SIZE == MAIL_ADDRESS_SIZE, "one size for an address");
	return mail_address_canonical(address, ret);
}

int
pn_network_has(const char *network, const char *address)
{
	struct network outer, inner;

	if (network_parse(network, &outer, NULL) < 0)
		return -EINVAL;
	return network_parse(address, &inner, NULL) == 0 && network_within(&inner, &outer);
}

bool
pn_domain_within(const char *domain, const char *outer)
{
	size_t len = strlen(domain), outer_len = strlen(outer);

	return len >= outer_len && !strcmp(domain + len - outer_len, outer) &&
	       (len == outer_len || domain[len - outer_len - 1] == '.');
}

const char *
pn_txn_recipient(const struct pn_txn *txn)
{
	return txn->recipient < 0 ? NULL : pn_txn_recipient_at(txn, (size_t)txn->recipient);
}

/* ---- the message ----------------------------------------------------------------------------- */

/* The header is always in memory. */
static struct pn_slice
front_of(const struct mail_bytes *bytes)
{
	return bytes ? mail_bytes_front(bytes) : pn_slice(NULL, 0);
}

size_t
pn_txn_size(const struct pn_txn *txn)
{
	return txn->view ? mail_bytes_size(txn->view) : txn->size;
}

struct pn_slice
pn_txn_bytes(const struct pn_txn *txn)
{
	return reading_view(txn);
}

struct pn_slice
pn_txn_body(const struct pn_txn *txn)
{
	struct pn_slice bytes = reading_view(txn);

	if (bytes.len == 0)
		return bytes;
	return pn_slice(bytes.data + txn->header.body, bytes.len - txn->header.body);
}

struct pn_slice
pn_txn_original_bytes(const struct pn_txn *txn)
{
	return reading_original(txn);
}

size_t
pn_header_count(const struct pn_txn *txn)
{
	return txn->header.count;
}

/* A line that is no field is all value, so that a loop over all fields does not end at one. */
static void
read_junk(struct pn_slice bytes, const struct mail_field *field, struct pn_header *ret)
{
	size_t end = field->end;

	if (end - field->start >= 2 && bytes.data[end - 2] == '\r' && bytes.data[end - 1] == '\n')
		end -= 2;
	ret->name = pn_slice("", 0);
	ret->value = pn_slice(bytes.data + field->start, end - field->start);
}

bool
pn_header_at(const struct pn_txn *txn, size_t index, struct pn_header *ret)
{
	struct pn_slice bytes = front_of(txn->view);

	if (index >= txn->header.count)
		return false;
	if (txn->header.fields[index].name_len > 0)
		return mail_header_field(bytes, &txn->header, index, ret);
	read_junk(bytes, &txn->header.fields[index], ret);
	return true;
}

bool
pn_header_find(const struct pn_txn *txn, const char *name, size_t nth, struct pn_header *ret)
{
	int at = mail_header_find(front_of(txn->view), &txn->header, name, nth);

	return at >= 0 && pn_header_at(txn, (size_t)at, ret);
}

bool
pn_txn_has_tag(const struct pn_txn *txn, const char *tag)
{
	for (size_t i = 0; i < txn->tag_count; i++)
		if (!strcmp(txn->tags[i], tag))
			return true;
	return false;
}

/* ---- AUTH ------------------------------------------------------------------------------------ */

const char *
pn_auth_mechanism(const struct pn_txn *txn)
{
	return or_empty(txn->mechanism);
}

struct pn_slice
pn_auth_response(const struct pn_txn *txn)
{
	return txn->response;
}

struct pn_slice
pn_auth_binding(const struct pn_txn *txn)
{
	return txn->binding;
}

void *
pn_auth_kept(const struct pn_txn *txn)
{
	return txn->kept;
}
