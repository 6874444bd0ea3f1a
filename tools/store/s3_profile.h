/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * s3_profile.h - the files ~/.aws/config and ~/.aws/credentials
 */
#ifndef VDI_S3_PROFILE_H
#define VDI_S3_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

/* The name of the profile: AWS_PROFILE, or "default". */
const char *s3_profile_name(void);
/*
 * The value of a key of the profile, from the credentials file or, if it is not
 * there, the config file. False: there is none.
 */
bool s3_profile_get(const char *key, char *out, size_t size);
/* The paths of both files, for messages. */
void s3_profile_files(char *out, size_t size);

#endif /* VDI_S3_PROFILE_H */
