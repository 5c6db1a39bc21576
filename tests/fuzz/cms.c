/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cms.c - fuzz target: signatures of mail that passes, and what is made of a message to sign it.
 *
 * Two bytes say how much of the rest is the content, 0xffff: it is within.
 */
#include <modules/pki/signature.h>
#include <modules/pki/signed_mail.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
verify(struct pn_slice der, struct pn_slice content)
{
	struct signature signature;

	if (signature_verify(der, content, &signature) < 0) {
		must(!signature.signer && !signature.chain && !signature.declared.data);
		return;
	}
	must(signature.signer && signature.declared.len <= SIGNATURE_DECLARED_MOST);
	signature_clear(&signature);
}

static void
take_apart(struct pn_slice message)
{
	GString *fields = signed_mail_entity_header(message);
	struct pn_slice body = signed_mail_body(message);

	must(body.data + body.len == message.data + message.len);
	must(fields->len <= message.len);
	g_string_free(fields, TRUE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;

	if (size < 2)
		return 0;
	len = (size_t)data[0] << 8 | data[1];
	if (len == 0xffff)
		verify(pn_slice(data + 2, size - 2), pn_slice(NULL, 0));
	else if (len <= size - 2)
		verify(pn_slice(data + 2 + len, size - 2 - len), pn_slice(data + 2, len));
	take_apart(pn_slice(data, size));
	return 0;
}
