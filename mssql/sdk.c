// SPDX-License-Identifier: GPL-2.0-only
/*
 * sdk.c - call the classes of libsqlvdi.so, by the names of their member functions
 *
 * The classes have no virtual functions, and an object has a single pointer (vdi.h). A
 * member function takes the address of its object as the first argument, as every C++
 * compiler for this platform has it. So the library is called without linking to it.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sdk.h"

/* More than the pointer that the header declares, for versions that add members. */
#define OBJECT_SIZE	4096

struct sdk_set {
	unsigned char object[OBJECT_SIZE]
		__attribute__((aligned(__BIGGEST_ALIGNMENT__)));
};

static struct {
	void *library;
	bool trace;
	void (*construct)(void *set);
	void (*destroy)(void *set);
	int (*create)(void *set, char *name, struct VDConfig *config);
	int (*get_configuration)(void *set, time_t timeout,
				 struct VDConfig *config);
	int (*open_device)(void *set, char *name, struct sdk_device **device);
	int (*close)(void *set);
	int (*signal_abort)(void *set);
	int (*get_command)(struct sdk_device *device, time_t timeout,
			   struct VDC_Command **command);
	int (*complete_command)(struct sdk_device *device,
				struct VDC_Command *command, int code,
				unsigned long bytes, int64_t position);
} sdk;

#define SET	"_ZN22ClientVirtualDeviceSet"
#define DEVICE	"_ZN19ClientVirtualDevice"

static const struct {
	const char *name;
	void *function;		/* the address of a pointer to a function */
} functions[] = {
	{ SET "C1Ev", &sdk.construct },
	{ SET "D1Ev", &sdk.destroy },
	{ SET "6CreateEPcP8VDConfig", &sdk.create },
	{ SET "16GetConfigurationElP8VDConfig", &sdk.get_configuration },
	{ SET "10OpenDeviceEPcPP19ClientVirtualDevice", &sdk.open_device },
	{ SET "5CloseEv", &sdk.close },
	{ SET "11SignalAbortEv", &sdk.signal_abort },
	{ DEVICE "10GetCommandElPP11VDC_Command", &sdk.get_command },
	{ DEVICE "15CompleteCommandEP11VDC_Commandiml", &sdk.complete_command },
};

static void trace(int rc, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void trace(int rc, const char *format, ...)
{
	char text[256];
	va_list args;

	if (!sdk.trace)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* one call, so that lines of different threads are not mixed */
	fprintf(stderr, "libsqlvdi: %s = %#x\n", text, (unsigned int)rc);
}

bool sdk_load(const char *library, bool with_trace, char *why, size_t size)
{
	size_t i;

	sdk.trace = with_trace;
	sdk.library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!sdk.library) {
		snprintf(why, size, "cannot load the library: %s", dlerror());
		return false;
	}
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *function = dlsym(sdk.library, functions[i].name);

		if (!function) {
			snprintf(why, size, "%s is not a libsqlvdi.so: it does not have %s",
				 library, functions[i].name);
			return false;
		}
		memcpy(functions[i].function, &function, sizeof(function));
	}
	return true;
}

struct sdk_set *sdk_set_new(void)
{
	struct sdk_set *set = aligned_alloc(__BIGGEST_ALIGNMENT__, sizeof(*set));

	if (!set)
		return NULL;
	memset(set, 0, sizeof(*set));
	sdk.construct(set);
	return set;
}

void sdk_set_free(struct sdk_set *set)
{
	if (!set)
		return;
	sdk.destroy(set);
	free(set);
}

int sdk_create(struct sdk_set *set, const char *name,
	       const struct VDConfig *config)
{
	struct VDConfig copy = *config;
	int rc = sdk.create(set, (char *)name, &copy);

	trace(rc, "Create(\"%s\", {devices %u, features %#x, alignment %u, soft filemarks %u, EOM warning %u})",
	      name, config->deviceCount, config->features, config->alignment,
	      config->softFileMarkBlockSize, config->EOMWarningSize);
	return rc;
}

int sdk_get_configuration(struct sdk_set *set, struct VDConfig *config)
{
	int rc = sdk.get_configuration(set, 0, config);

	if (rc == NOERROR)
		trace(rc, "GetConfiguration(0, {features %#x, block %u, depth %u, transfer %u, area %u})",
		      config->features, config->blockSize, config->maxIODepth,
		      config->maxTransferSize, config->bufferAreaSize);
	else if (rc != VD_E_TIMEOUT)
		trace(rc, "GetConfiguration(0)");
	return rc;
}

int sdk_open_device(struct sdk_set *set, const char *name,
		    struct sdk_device **out)
{
	int rc = sdk.open_device(set, (char *)name, out);

	trace(rc, "OpenDevice(\"%s\")", name);
	return rc;
}

int sdk_signal_abort(struct sdk_set *set)
{
	int rc = sdk.signal_abort(set);

	trace(rc, "SignalAbort()");
	return rc;
}

int sdk_close(struct sdk_set *set)
{
	int rc = sdk.close(set);

	trace(rc, "Close()");
	return rc;
}

/*
 * The SDK's documentation and its sample differ in the unit of the time-out, seconds or
 * milliseconds; both agree about 0 and about negative values.
 */
int sdk_get_command(struct sdk_device *device, bool wait,
		    struct VDC_Command **command)
{
	int rc = sdk.get_command(device, wait ? -1 : 0, command);

	if (rc == NOERROR)
		trace(rc, "%p->GetCommand(%d, {code %d, size %d, position %lld})",
		      (void *)device, wait ? -1 : 0, (*command)->commandCode,
		      (*command)->size, (long long)(*command)->position);
	else if (rc != VD_E_TIMEOUT)
		trace(rc, "%p->GetCommand(%d)", (void *)device, wait ? -1 : 0);
	return rc;
}

int sdk_complete_command(struct sdk_device *device, struct VDC_Command *command,
			 int code, uint32_t bytes, int64_t position)
{
	int kind = command->commandCode;
	/* the command does not exist any more when the call returns */
	int rc = sdk.complete_command(device, command, code, bytes, position);

	trace(rc, "%p->CompleteCommand({code %d}, %d, %u, %lld)", (void *)device,
	      kind, code, bytes, (long long)position);
	return rc;
}
