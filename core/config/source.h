/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where the bytes of a configuration come from.
 *
 * posternctl reads the files itself. The checker asks the master for each file, which keeps what it
 * handed out; the relay gets those bytes as a bundle. So an unprivileged process needs no access to
 * the folder or to secrets, and a relay runs on exactly what was checked.
 */
#ifndef CORE_CONFIG_SOURCE_H
#define CORE_CONFIG_SOURCE_H

#include <core/base/buf.h>
#include <sys/types.h>

#define SOURCE_FILE_MOST (4u * 1024 * 1024)

struct source_file {
	char *data; /* NUL behind the last byte */
	size_t len;
	mode_t mode;
};

struct source;
struct source_ops {
	/* Names of the *.yaml files of a folder, sorted, each with a NUL, in `ret`. */
	int (*list)(
	    struct source *source, const char *folder, struct buf *ret, struct pn_error *err);
	/* `ret->data` is malloc'ed and the caller's; wipe it if it is a secret. */
	int (*read)(
	    struct source *source, const char *path, struct source_file *ret, struct pn_error *err);
	void (*free)(struct source *source);
};
struct source {
	const struct source_ops *ops;
};

/* The file system, as this process may read it. */
int source_files(struct source **ret);

/*
 * A bundle: everything read through `from`, remembered, to be written out and read elsewhere.
 * `from` is borrowed and must outlive the recording. What failed is not remembered.
 */
int source_recording(struct source *from, struct source **ret);
/* -E2BIG where `ret` is too small. Its memory holds secrets then: buf_wipe(). */
int source_bundle_write(struct source *recording, struct buf *ret);
/* Copies `bundle`; -EBADMSG where it is damaged. Files not in it are -ENOENT. */
/* The path of every file that was read, in no order; borrowed from the source. */
void source_recorded(
    struct source *recording, void (*each)(void *arg, const char *path), void *arg);
int source_bundle(struct pn_slice bundle, struct source **ret, struct pn_error *err);
/* Wipes what it holds. */
void source_free(struct source **source);

#endif
