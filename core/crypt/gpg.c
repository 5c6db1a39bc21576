/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpg.c - GPGME in a throw-away home; encryption.
 *
 * Called by helper.c. Must never let gpg start a daemon, reach the network, or read anybody's own
 * settings and keys.
 */
#include <core/base/arena.h>
#include <core/crypt/gpg.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#define SETTINGS "gpg.conf"

/*
 * The cipher is not left to preferences: a key without any means 3DES (RFC 4880 section 13.2),
 * which nobody should get (RFC 9580 section 9.3), and everything that is alive knows AES-256.
 * Compression: its gain tells of the contents.
 */
static const char settings[] = "batch\n"
			       "no-tty\n"
			       "no-autostart\n"
			       "disable-dirmngr\n"
			       "no-auto-key-locate\n"
			       "no-auto-key-retrieve\n"
			       "no-auto-check-trustdb\n"
			       "trust-model always\n"
			       "no-emit-version\n"
			       "no-comments\n"
			       "compress-algo none\n"
			       "cipher-algo AES256\n";

static int
write_file(const char *path, struct pn_slice bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, bytes.data, bytes.len);
	close(fd);
	return n == (ssize_t)bytes.len ? 0 : n < 0 ? -errno : -ENOSPC;
}

int
gpg_fault(gpgme_error_t error, struct pn_error *err, const char *what)
{
	char text[128];
	int code = gpgme_err_code_to_errno(gpgme_err_code(error));

	gpgme_strerror_r(error, text, sizeof(text));
	/* Of keys that are none this is not said, so it never means that. */
	return pn_error_set(err, code > 0 && code != EBADMSG ? -code : -EIO, "%s: %s", what, text);
}

int
gpg_begin(struct gpg *gpg, const char *home, struct pn_error *err)
{
	struct arena arena = { 0 };
	int r = write_file(
	    arena_printf(&arena, "%s/" SETTINGS, home), pn_slice(settings, sizeof(settings) - 1));
	gpgme_error_t error;

	arena_free(&arena);
	if (r < 0)
		return pn_error_set(err, r, "%s: %s", home, strerror(-r));
	gpgme_check_version(NULL);
	error = gpgme_engine_check_version(GPGME_PROTOCOL_OpenPGP);
	if (error)
		return gpg_fault(error, err, "gpg cannot be used (Debian: gpg)");
	gpg->home = home;
	gpg->ctx = NULL;
	return 0;
}

void
gpg_forget(const struct gpg *gpg)
{
	DIR *folder = opendir(gpg->home);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (strcmp(entry->d_name, SETTINGS) != 0)
			unlinkat(dirfd(folder), entry->d_name, 0);
	if (folder)
		closedir(folder);
}

int
gpg_context(struct gpg *gpg, struct pn_error *err)
{
	gpgme_error_t error;

	if (gpg->ctx)
		gpgme_release(gpg->ctx);
	gpg->ctx = NULL;
	error = gpgme_new(&gpg->ctx);
	if (!error)
		error = gpgme_set_protocol(gpg->ctx, GPGME_PROTOCOL_OpenPGP);
	if (!error)
		error = gpgme_ctx_set_engine_info(
		    gpg->ctx, GPGME_PROTOCOL_OpenPGP, NULL, gpg->home);
	if (error)
		return gpg_fault(error, err, "gpg cannot be used");
	gpgme_set_offline(gpg->ctx, 1);
	return 0;
}

/* ---- encryption ------------------------------------------------------------------------------ */

/* One recipient a line; the files are this process's own, so no name needs quoting. */
static const char *
write_keys(const struct gpg *gpg, const struct pn_slice *keys, size_t count, bool hidden,
    struct arena *arena, struct pn_error *err)
{
	const char *all = hidden ? "--hidden\n--file" : "--file";
	GString *text = g_string_new(all);

	for (size_t i = 0; i < count; i++) {
		const char *path = arena_printf(arena, "%s/key-%zu", gpg->home, i);
		int r = write_file(path, keys[i]);

		if (r < 0) {
			pn_error_set(err, r, "%s: %s", path, strerror(-r));
			g_string_free(text, TRUE);
			return NULL;
		}
		g_string_append_printf(text, "\n%s", path);
	}
	all = arena_text(arena, text->str);
	g_string_free(text, TRUE);
	return all;
}

static int
find_culprit(struct gpg *gpg, size_t count)
{
	gpgme_encrypt_result_t result = gpgme_op_encrypt_result(gpg->ctx);
	gpgme_invalid_key_t bad = result ? result->invalid_recipients : NULL;
	const char *name = bad && bad->fpr ? strrchr(bad->fpr, '/') : NULL;
	size_t index;

	return name && sscanf(name, "/key-%zu", &index) == 1 && index < count ? (int)index : -1;
}

static int
run_encrypt(struct gpg *gpg, const char *recipients, bool hidden, int in, int out, size_t count,
    int *ret_culprit, struct pn_error *err)
{
	gpgme_data_t plain = NULL, cipher = NULL;
	int flags = GPGME_ENCRYPT_ALWAYS_TRUST | GPGME_ENCRYPT_NO_COMPRESS;
	gpgme_error_t error = gpgme_data_new_from_fd(&plain, in);
	int r = 0;

	if (!error)
		error = gpgme_data_new_from_fd(&cipher, out);
	gpgme_set_armor(gpg->ctx, 1);
	if (hidden)
		flags |= GPGME_ENCRYPT_THROW_KEYIDS;
	if (!error)
		error = gpgme_op_encrypt_ext(
		    gpg->ctx, NULL, recipients, (gpgme_encrypt_flags_t)flags, plain, cipher);
	if (error) {
		*ret_culprit = find_culprit(gpg, count);
		r = gpg_fault(error, err, "encrypting");
	}
	gpgme_data_release(plain);
	gpgme_data_release(cipher);
	return r;
}

int
gpg_encrypt(struct gpg *gpg, const struct pn_slice *keys, size_t count, bool hidden, int in,
    int out, int *ret_culprit, struct pn_error *err)
{
	struct arena arena = { 0 };
	const char *recipients;
	int r = gpg_context(gpg, err);

	if (r == 0) {
		recipients = write_keys(gpg, keys, count, hidden, &arena, err);
		r = recipients
			? run_encrypt(gpg, recipients, hidden, in, out, count, ret_culprit, err)
			: err->code;
	}
	arena_free(&arena);
	return r;
}
