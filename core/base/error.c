/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c - writes the texts of struct pn_error.
 *
 * Called by everything that can fail; never logs.
 */
#include <postern/base.h>
#include <stdio.h>

int
pn_error_set(struct pn_error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

int
pn_error_in(struct pn_error *err, const char *format, ...)
{
	char old[sizeof(err->text)];
	va_list args;
	int len;

	if (!err)
		return 0;
	memcpy(old, err->text, sizeof(old));
	va_start(args, format);
	len = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(err->text))
		snprintf(err->text + len, sizeof(err->text) - (size_t)len, ": %s", old);
	return err->code;
}
