// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sqlvdi.cpp - libsqlvdi.so: the classes of the Linux SDK over libvdi
 *
 * Programs written for the SDK delete their devices, or never do; keep pointers
 * to them beyond Close() and beyond the set; copy objects. So what an object
 * holds is no pointer but a handle: the number of an entry in a table, and the
 * generation of that entry. A handle whose time is over is refused with
 * VD_E_PROTOCOL, whoever still has it, and an object owns nothing. Calls count
 * themselves in the entry; who ends it turns to the next generation first, and
 * then waits for those that are inside.
 *
 * Order among calls, and what close does to other threads, is the core's. It
 * keeps the devices of a closed set until another is opened, and so do we.
 *
 * Locks, in this order: Set::life, Set::opening, the table's. A forked child
 * takes none of a set of its parent: their holders may not exist there.
 *
 * There is no exception, no RTTI and no static constructor here: the library
 * does not need the one of the C++ language.
 */
#include <errno.h>
#include <grp.h>
#include <new>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libvdi.h>
#include <vdi.h>

/*
 * A device may be deleted by the program: its memory has to come from the
 * program's operator new, where there is one.
 */
#ifdef __LP64__
#define NEW	"_ZnwmRKSt9nothrow_t"
#else
#define NEW	"_ZnwjRKSt9nothrow_t"
#endif
extern "C" void *program_new(size_t size, const std::nothrow_t &)
	__asm__(NEW) __attribute__((weak));
extern "C" void program_delete(void *at) __asm__("_ZdlPv")
	__attribute__((weak));

namespace {

/* ---------------------------------------------------------------- handles */

/* Generation in the upper half, calls inside in the lower one. */
typedef uint64_t Gate;

const Gate GENERATION = Gate(1) << 32;

uint32_t generation(Gate gate)
{
	return gate >> 32;
}

void leave(Gate *gate)
{
	__atomic_fetch_sub(gate, 1, __ATOMIC_RELEASE);
}

/* Gives the generation that was met; the caller leaves if it is a wrong one. */
uint32_t enter(Gate *gate)
{
	return generation(__atomic_fetch_add(gate, 1, __ATOMIC_ACQUIRE));
}

/* From here on nobody finds the generation that was. */
void turn(Gate *gate)
{
	__atomic_fetch_add(gate, GENERATION, __ATOMIC_ACQ_REL);
}

/* What is inside returns soon: it was woken, or has nothing to wait for. */
void wait_empty(const Gate *gate)
{
	const struct timespec ms = { 0, 1000000 };

	while ((uint32_t)__atomic_load_n(gate, __ATOMIC_ACQUIRE))
		nanosleep(&ms, NULL);
}

const unsigned int CHUNK = 64;
const unsigned int CHUNKS = 1024;
const unsigned int INDEX_BITS = sizeof(uintptr_t) == 8 ? 32 : 16;

struct Entry {
	Gate gate;
	void *object;		/* changes only while nobody may be inside */
	Entry *next_free;
	uintptr_t number;
} __attribute__((aligned(64)));

/* Chunks are never freed: there are as many as objects lived at a time. */
Entry *chunks[CHUNKS];
unsigned int chunk_count;
Entry *first_free;
pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

/* A child must not find the table locked by a thread that it has not. */
void lock_table(void)
{
	pthread_mutex_lock(&table_lock);
}

void unlock_table(void)
{
	pthread_mutex_unlock(&table_lock);
}

bool add_chunk(void)
{
	unsigned int i;
	Entry *chunk;

	if (!chunk_count)
		pthread_atfork(lock_table, unlock_table, unlock_table);
	if (chunk_count == CHUNKS ||
	    posix_memalign((void **)&chunk, 64, CHUNK * sizeof(*chunk)))
		return false;
	memset(chunk, 0, CHUNK * sizeof(*chunk));
	for (i = 0; i < CHUNK; i++) {
		chunk[i].gate = GENERATION;
		chunk[i].number = chunk_count * CHUNK + i;
		chunk[i].next_free = first_free;
		first_free = &chunk[i];
	}
	__atomic_store_n(&chunks[chunk_count++], chunk, __ATOMIC_RELEASE);
	return true;
}

/* An entry to be filled and then told to others, or given back. */
Entry *get_entry(void)
{
	Entry *entry = NULL;

	pthread_mutex_lock(&table_lock);
	if (first_free || add_chunk()) {
		entry = first_free;
		first_free = entry->next_free;
	}
	pthread_mutex_unlock(&table_lock);
	return entry;
}

/* Handles of it are out of date from here on. */
void put_entry(Entry *entry)
{
	turn(&entry->gate);
	wait_empty(&entry->gate);
	entry->object = NULL;
	pthread_mutex_lock(&table_lock);
	entry->next_free = first_free;
	first_free = entry;
	pthread_mutex_unlock(&table_lock);
}

/* Never NULL: a generation that would make it so is passed over. */
uintptr_t handle_of(Entry *entry)
{
	uintptr_t handle;

	for (;;) {
		handle = (uintptr_t)generation(__atomic_load_n(
			&entry->gate, __ATOMIC_RELAXED)) << INDEX_BITS |
			entry->number;
		if (handle)
			return handle;
		turn(&entry->gate);
	}
}

/* The entry with a call inside, or NULL when the handle is out of date. */
Entry *enter_handle(uintptr_t handle)
{
	uintptr_t number = handle & (((uintptr_t)1 << INDEX_BITS) - 1);
	Entry *chunk, *entry;

	if (!handle || number / CHUNK >= CHUNKS)
		return NULL;
	chunk = __atomic_load_n(&chunks[number / CHUNK], __ATOMIC_ACQUIRE);
	if (!chunk)
		return NULL;
	entry = &chunk[number % CHUNK];
	if ((uintptr_t)enter(&entry->gate) << INDEX_BITS ==
	    (handle ^ number))
		return entry;
	leave(&entry->gate);
	return NULL;
}

/* What is behind a handle, for the time of a call. */
template <typename T> class Use {
public:
	explicit Use(const void *handle) :
		entry(enter_handle((uintptr_t)handle))
	{
	}
	~Use()
	{
		if (entry)
			leave(&entry->gate);
	}
	T *operator->() const
	{
		return get();
	}
	T *get() const
	{
		return entry ? static_cast<T *>(entry->object) : NULL;
	}
	Entry *where() const
	{
		return entry;
	}

private:
	Entry *entry;
	Use(const Use &);
	Use &operator=(const Use &);
};

/* ------------------------------------------------------------ diagnostics */

const char *setting(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

bool enabled(const char *name)
{
	const char *value = setting(name);

	return value && strcmp(value, "0");
}

/* Nothing on the console, unless asked for. */
int fail(const char *call, int code, const char *text)
{
	if (enabled("VDI_DEBUG"))
		fprintf(stderr, "libsqlvdi: %s: %s%s%s\n", call,
			vdi_strerror(code), *text ? ": " : "", text);
	return code;
}

/* Of a set: none but when the constructor found no memory, or it is destroyed. */
int no_set(const char *call, const CVDS *cvds)
{
	return fail(call, cvds ? VD_E_PROTOCOL : VD_E_MEMORY,
		    "there is no object");
}

int no_object(const char *call)
{
	return fail(call, VD_E_PROTOCOL, "the object is not open");
}

/* ----------------------------------------------------------------- access */

bool number(const char *text, int base, unsigned long max, unsigned long *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoul(text, &end, base);
	return !errno && !*end && *out <= max;
}

bool find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	unsigned long value;
	char buf[16384];

	if (!getgrnam_r(name, &entry, buf, sizeof(buf), &found) && found) {
		*gid = found->gr_gid;
		return true;
	}
	if (!number(name, 10, (gid_t)-2, &value))
		return false;
	*gid = value;
	return true;
}

bool find_user(const char *name, uid_t *uid)
{
	struct passwd entry, *found = NULL;
	unsigned long value;
	char buf[16384];

	if (!getpwnam_r(name, &entry, buf, sizeof(buf), &found) && found) {
		*uid = found->pw_uid;
		return true;
	}
	if (!number(name, 10, (uid_t)-2, &value))
		return false;
	*uid = value;
	return true;
}

/*
 * The users whose sets OpenInSecondary joins: VDI_TRUSTED_USERS is a list with
 * commas, count 0 the default of libvdi. NULL, or what is wrong.
 */
const char *trust_wish(uid_t *users, unsigned int *count)
{
	const char *list = setting("VDI_TRUSTED_USERS");
	char name[256];

	for (*count = 0; list; ++*count) {
		size_t length = strcspn(list, ",");

		if (*count == VDI_MAX_TRUSTED_USERS)
			return "VDI_TRUSTED_USERS has too many users";
		if (length >= sizeof(name))
			return "VDI_TRUSTED_USERS has a name that is too long";
		memcpy(name, list, length);
		name[length] = '\0';
		if (!find_user(name, &users[*count]))
			return "VDI_TRUSTED_USERS has a name that is no user";
		list = list[length] ? list + length + 1 : NULL;
	}
	return NULL;
}

/*
 * The interface knows no owner, group or mode of a set; the environment may
 * open it to the database's user. NULL, or what is wrong.
 */
const char *access_wish(struct vdi_access *access)
{
	const char *mode = setting("VDI_SET_MODE");
	const char *group = setting("VDI_SET_GROUP");
	const char *owner = setting("VDI_SET_OWNER");
	unsigned long value;

	if (group) {
		if (!find_group(group, &access->gid))
			return "VDI_SET_GROUP is no group";
		access->mode = 0660;
	}
	if (owner && !find_user(owner, &access->uid))
		return "VDI_SET_OWNER is no user";
	if (mode) {
		if (!number(mode, 8, 0777, &value))
			return "VDI_SET_MODE is no octal mode up to 0777";
		access->mode = value;
	}
	return NULL;
}

/* --------------------------------------------------------------- time-outs */

/* In which unit GetCommand takes its time-out; see command_timeout(). */
enum Unit {
	UNIT_AUTO,
	UNIT_SECONDS,
	UNIT_MILLISECONDS
};

/* NULL, or what is wrong. */
const char *unit_wish(Unit *unit)
{
	const char *value = setting("VDI_GETCOMMAND_UNIT");

	if (!value || !strcmp(value, "auto"))
		*unit = UNIT_AUTO;
	else if (!strcmp(value, "seconds"))
		*unit = UNIT_SECONDS;
	else if (!strcmp(value, "milliseconds"))
		*unit = UNIT_MILLISECONDS;
	else
		return "VDI_GETCOMMAND_UNIT is not auto, seconds or milliseconds";
	return NULL;
}

/* INFINITE of Windows comes as a positive number where time_t has 64 bits. */
int64_t timeout_ms(time_t timeout)
{
	return timeout < 0 || timeout == (time_t)0xffffffff ? -1 : timeout;
}

/*
 * The document of the SDK says milliseconds, but its own sample passes 90 to
 * GetCommand, says 90 seconds in a comment, and takes a time-out for the end of
 * the data. Read as milliseconds, any pause of the database, or a slow machine,
 * ends its restore with a truncated database. So by default a number below 1000
 * is taken as seconds. Where a program does mean milliseconds, it waits longer
 * for a command that does not come; each command, the close of the device and an
 * abort still end the wait at once.
 *
 * GetConfiguration is not concerned: document and samples agree on
 * milliseconds there, and pass 1000 or more.
 */
int64_t command_timeout(Unit unit, time_t timeout)
{
	int64_t time = timeout_ms(timeout);

	if (time < 0 || unit == UNIT_MILLISECONDS ||
	    (unit == UNIT_AUTO && time >= 1000))
		return time;
	return time > INT64_MAX / 1000 ? -1 : time * 1000;
}

/* ---------------------------------------------------------------- objects */

struct Set {
	vdi_client *client;

	pthread_mutex_t life;		/* to change what follows */
	bool is_open;
	pid_t pid;			/* who opened it */
	Unit unit;

	pthread_mutex_t opening;	/* what follows */
	unsigned int count;
	Entry *devices[64];		/* of the set that is or was open */

	int done(const char *call, int code);
	bool forked() const;
	void forget_devices();
	int open(const char *call, const char *name, const VDConfig *config,
		 const struct vdi_access *access);
	int open_device(const char *name, ClientVirtualDevice **out,
			uintptr_t *handle);
	int close(Entry *own);
};

/* Behind the handle of a device; the core has the rest. */
struct Device {
	Set *set;			/* forgets its devices before it goes */
	vdi_client_device *device;
};

int Set::done(const char *call, int code)
{
	char text[512];

	if (!code)
		return code;
	vdi_client_message(client, text, sizeof(text));
	return fail(call, code, text);
}

void *allocate(size_t size)
{
	return program_new ? program_new(size, std::nothrow_t()) :
			     malloc(size);
}

void release(void *memory)
{
	if (program_delete)
		program_delete(memory);
	else
		free(memory);
}

/* Is this a forked child's copy? */
bool Set::forked() const
{
	return __atomic_load_n(&is_open, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&pid, __ATOMIC_RELAXED) != getpid();
}

/* Before the core does. */
void Set::forget_devices()
{
	unsigned int i;
	void *device;

	pthread_mutex_lock(&opening);
	for (i = 0; i < count; i++) {
		device = devices[i]->object;
		put_entry(devices[i]);
		free(device);
	}
	count = 0;
	pthread_mutex_unlock(&opening);
}

/* Create with a configuration, OpenInSecondary without. */
int Set::open(const char *call, const char *name, const VDConfig *config,
	      const struct vdi_access *access)
{
	const char *instance = vdi_default_instance();
	const char *wrong;
	Unit wanted;
	int code;

	if (forked())
		return fail(call, VD_E_PROTOCOL, "the set is the parent's");
	wrong = unit_wish(&wanted);
	if (wrong)
		return fail(call, VD_E_INVALID, wrong);
	pthread_mutex_lock(&life);
	if (!is_open)
		forget_devices();
	if (config)
		code = vdi_client_create(client, instance, name, config,
					 access);
	else
		code = vdi_client_open_in_secondary(client, instance, name);
	if (!code) {
		__atomic_store_n(&pid, getpid(), __ATOMIC_RELAXED);
		__atomic_store_n(&unit, wanted, __ATOMIC_RELAXED);
		__atomic_store_n(&is_open, true, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&life);
	return done(call, code);
}

/*
 * *handle becomes that of a new device. The core is called with the lock held:
 * a device is in the list before the next set can come.
 */
int Set::open_device(const char *name, ClientVirtualDevice **out,
		     uintptr_t *handle)
{
	Device *device = (Device *)malloc(sizeof(*device));
	void *memory = allocate(sizeof(**out));
	Entry *entry = get_entry();
	int code = VD_E_MEMORY;

	pthread_mutex_lock(&opening);
	if (device && entry && memory)
		code = vdi_client_open_device(client, name, &device->device);
	if (!code) {
		device->set = this;
		entry->object = device;
		devices[count++] = entry;	/* 64 at most in a set */
		*handle = handle_of(entry);
	}
	pthread_mutex_unlock(&opening);
	if (!code) {
		*out = new (memory) ClientVirtualDevice;
		return code;
	}
	if (entry)
		put_entry(entry);
	release(memory);
	free(device);
	return code;
}

/*
 * There are no threads of the parent here: their locks are never released, and
 * their calls never end. Devices are out of date from here on, and their entries
 * lost; of the calls counted in the set's entry only the caller's is real.
 */
void forget_parent(Set *set, Entry *own)
{
	unsigned int i;

	for (i = 0; i < set->count; i++)
		turn(&set->devices[i]->gate);
	own->gate = (own->gate & ~(GENERATION - 1)) + 1;
	pthread_mutex_init(&set->life, NULL);
	pthread_mutex_init(&set->opening, NULL);
	set->count = 0;
	set->is_open = false;
}

int Set::close(Entry *own)
{
	int code;

	if (forked()) {
		code = vdi_client_close(client);
		forget_parent(this, own);
		return code;
	}
	pthread_mutex_lock(&life);
	code = vdi_client_close(client);
	__atomic_store_n(&is_open, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&life);
	return code;
}

Set *new_set(void)
{
	Set *set = (Set *)calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	if (vdi_client_new(&set->client)) {
		free(set);
		return NULL;
	}
	pthread_mutex_init(&set->life, NULL);
	pthread_mutex_init(&set->opening, NULL);
	return set;
}

void free_set(Set *set)
{
	set->forget_devices();
	vdi_client_free(set->client);
	pthread_mutex_destroy(&set->life);
	pthread_mutex_destroy(&set->opening);
	free(set);
}

/*
 * What the server tells in the structure is no wish of the client's, though it
 * is there when a program uses the structure again.
 */
VDConfig wish(const VDConfig *cfg)
{
	VDConfig config = *cfg;

	config.features &= ~(VDF_WriteMedia | VDF_ReadMedia |
			     VDF_CompleteEnabled);
	config.blockSize = 0;
	config.maxIODepth = 0;
	config.maxTransferSize = 0;
	config.bufferAreaSize = 0;
	return config;
}

} /* namespace */

/* ---------------------------------------------------------------- devices */

ClientVirtualDevice::ClientVirtualDevice() : cvd(NULL)
{
}

/* The device belongs to its set, not to this object. */
ClientVirtualDevice::~ClientVirtualDevice()
{
}

int ClientVirtualDevice::GetCommand(time_t timeOut, VDC_Command **ppCmd)
{
	static const char call[] = "GetCommand";
	Use<Device> device(cvd);
	Unit unit;

	if (ppCmd)
		*ppCmd = NULL;
	if (!device.get())
		return no_object(call);
	if (!ppCmd)
		return fail(call, VD_E_INVALID, "ppCmd is NULL");
	unit = __atomic_load_n(&device->set->unit, __ATOMIC_RELAXED);
	return device->set->done(call, vdi_client_get_command(
		device->device, command_timeout(unit, timeOut), ppCmd));
}

int ClientVirtualDevice::CompleteCommand(VDC_Command *pCmd, int completionCode,
					 unsigned long bytesTransferred,
					 int64_t position)
{
	static const char call[] = "CompleteCommand";
	Use<Device> device(cvd);

	if (!device.get())
		return no_object(call);
	if (!pCmd)
		return fail(call, VD_E_INVALID, "pCmd is NULL");
	if (bytesTransferred > UINT32_MAX)
		return fail(call, VD_E_INVALID, "bytesTransferred is too large");
	return device->set->done(call, vdi_client_complete_command(
		device->device, pCmd, completionCode, bytesTransferred,
		position));
}

/* ------------------------------------------------------------------- sets */

ClientVirtualDeviceSet::ClientVirtualDeviceSet() : cvds(NULL)
{
	Entry *entry = get_entry();

	if (!entry)
		return;
	entry->object = new_set();
	if (entry->object)
		cvds = (CVDS *)handle_of(entry);
	else
		put_entry(entry);
}

/* No call comes in any more; close() makes those of other threads return. */
ClientVirtualDeviceSet::~ClientVirtualDeviceSet()
{
	Entry *entry = enter_handle((uintptr_t)cvds);
	Set *set;

	if (!entry)
		return;
	set = static_cast<Set *>(entry->object);
	if (set->forked()) {
		set->close(entry);
		leave(&entry->gate);
		return;
	}
	turn(&entry->gate);
	set->close(entry);
	leave(&entry->gate);
	put_entry(entry);
	free_set(set);
}

int ClientVirtualDeviceSet::Create(char *name, VDConfig *cfg)
{
	static const char call[] = "Create";
	struct vdi_access access = VDI_ACCESS_DEFAULT;
	Use<Set> set(cvds);
	const char *wrong;
	VDConfig config;

	if (!set.get())
		return no_set(call, cvds);
	if (!name || !cfg)
		return fail(call, VD_E_INVALID, "an argument is NULL");
	wrong = access_wish(&access);
	if (wrong)
		return fail(call, VD_E_SECURITY, wrong);
	config = wish(cfg);
	return set->open(call, name, &config, &access);
}

int ClientVirtualDeviceSet::OpenInSecondary(char *setName)
{
	static const char call[] = "OpenInSecondary";
	uid_t users[VDI_MAX_TRUSTED_USERS];
	Use<Set> set(cvds);
	unsigned int count;
	const char *wrong;

	if (!set.get())
		return no_set(call, cvds);
	if (!setName)
		return fail(call, VD_E_INVALID, "setName is NULL");
	wrong = trust_wish(users, &count);
	if (wrong)
		return fail(call, VD_E_SECURITY, wrong);
	vdi_client_set_trusted_users(set->client, users, count);
	return set->open(call, setName, NULL, NULL);
}

int ClientVirtualDeviceSet::GetConfiguration(time_t timeout, VDConfig *cfg)
{
	static const char call[] = "GetConfiguration";
	Use<Set> set(cvds);

	if (!set.get())
		return no_object(call);
	return set->done(call, vdi_client_get_configuration(
		set->client, timeout_ms(timeout), cfg));
}

int ClientVirtualDeviceSet::OpenDevice(char *name,
				       ClientVirtualDevice **ppVirtualDevice)
{
	static const char call[] = "OpenDevice";
	Use<Set> set(cvds);
	uintptr_t handle;
	int code;

	if (ppVirtualDevice)
		*ppVirtualDevice = NULL;
	if (!set.get())
		return no_object(call);
	if (!name || !ppVirtualDevice)
		return fail(call, VD_E_INVALID, "an argument is NULL");
	if (set->forked())
		return fail(call, VD_E_PROTOCOL, "the set is the parent's");
	code = set->open_device(name, ppVirtualDevice, &handle);
	if (!code)
		(*ppVirtualDevice)->cvd = (CVD *)handle;
	return set->done(call, code);
}

int ClientVirtualDeviceSet::SignalAbort()
{
	static const char call[] = "SignalAbort";
	Use<Set> set(cvds);

	if (!set.get())
		return no_object(call);
	return set->done(call, vdi_client_signal_abort(set->client, 0, NULL));
}

int ClientVirtualDeviceSet::GetBufferHandle(uint8_t *pBuffer,
					    unsigned int *pBufferHandle)
{
	static const char call[] = "GetBufferHandle";
	Use<Set> set(cvds);

	if (!set.get())
		return no_object(call);
	return set->done(call, vdi_client_get_buffer_handle(
		set->client, pBuffer, pBufferHandle));
}

int ClientVirtualDeviceSet::MapBufferHandle(int dwBuffer, uint8_t **ppBuffer)
{
	static const char call[] = "MapBufferHandle";
	Use<Set> set(cvds);

	if (!set.get())
		return no_object(call);
	return set->done(call, vdi_client_map_buffer_handle(
		set->client, (uint32_t)dwBuffer, ppBuffer));
}

int ClientVirtualDeviceSet::Close()
{
	static const char call[] = "Close";
	Use<Set> set(cvds);

	if (!set.get())
		return no_object(call);
	return set->done(call, set->close(set.where()));
}

void ClientVirtualDeviceSet::RegisterDeviceClosed()
{
}
