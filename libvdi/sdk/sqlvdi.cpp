// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sqlvdi.cpp - libsqlvdi.so: the classes of the Linux SDK over libvdi
 *
 * Some programs written for the SDK delete their devices, others never do; they
 * use pointers to devices after Close() and after the set was destroyed; they
 * copy objects. So an object has no pointer, but a handle: the number of an
 * entry in a table, and the generation of that entry. A handle of an earlier
 * generation is rejected with VD_E_PROTOCOL, and an object owns nothing. Calls
 * are counted in the entry; a thread that ends the entry first increments the
 * generation, and then waits for the calls inside.
 *
 * The order of calls, and the effect of close on other threads, are those of
 * libvdi. It keeps the devices of a closed set until another one is opened, and
 * so does this layer.
 *
 * Order of locks: Set::life, Set::opening, the table's. A forked child takes no
 * lock of a set of its parent, since the thread that holds it may not exist
 * there.
 *
 * There are no exceptions, no RTTI and no static constructors: the library does
 * not need the C++ run-time library.
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
 * The program may delete a device: its memory must come from the program's
 * operator new, if it has one.
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

/* Generation in the upper half, number of calls inside in the lower one. */
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

/*
 * Returns the generation that was found; the caller leaves if it is not its
 * own.
 */
uint32_t enter(Gate *gate)
{
	return generation(__atomic_fetch_add(gate, 1, __ATOMIC_ACQUIRE));
}

/* From now on the old generation is not found any more. */
void turn(Gate *gate)
{
	__atomic_fetch_add(gate, GENERATION, __ATOMIC_ACQ_REL);
}

/* Calls inside return soon: they were woken, or do not wait. */
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
	void *object;		/* changes only while no call can be inside */
	Entry *next_free;
	uintptr_t number;
} __attribute__((aligned(64)));

/* Chunks are never freed: there are as many as objects existed at a time. */
Entry *chunks[CHUNKS];
unsigned int chunk_count;
Entry *first_free;
pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * In a child, the table must not be locked by a thread that exists only in the
 * parent.
 */
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

/* Allocate an entry, to be filled in and then published or returned. */
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

/* Handles of the entry are outdated from now on. */
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

/* Never NULL: a generation that would make it NULL is skipped. */
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

/* The entry, with a call inside, or NULL if the handle is outdated. */
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

/* The object of a handle, for the time of a call. */
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

/* Nothing is printed, unless requested. */
int fail(const char *call, int code, const char *text)
{
	if (enabled("VDI_DEBUG"))
		fprintf(stderr, "libsqlvdi: %s: %s%s%s\n", call,
			vdi_strerror(code), *text ? ": " : "", text);
	return code;
}

/* The object has no set: the constructor had no memory, or it was destroyed. */
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
 * The users whose sets OpenInSecondary joins: VDI_TRUSTED_USERS is a list
 * separated by commas; count 0 is the default of libvdi. NULL, or what is
 * wrong.
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
			return "VDI_TRUSTED_USERS names an unknown user";
		list = list[length] ? list + length + 1 : NULL;
	}
	return NULL;
}

/*
 * The interface has no owner, group or mode of a set; environment variables can
 * give the database's user access. NULL, or what is wrong.
 */
const char *access_wish(struct vdi_access *access)
{
	const char *mode = setting("VDI_SET_MODE");
	const char *group = setting("VDI_SET_GROUP");
	const char *owner = setting("VDI_SET_OWNER");
	unsigned long value;

	if (group) {
		if (!find_group(group, &access->gid))
			return "VDI_SET_GROUP is not a group";
		access->mode = 0660;
	}
	if (owner && !find_user(owner, &access->uid))
		return "VDI_SET_OWNER is not a user";
	if (mode) {
		if (!number(mode, 8, 0777, &value))
			return "VDI_SET_MODE is not an octal mode up to 0777";
		access->mode = value;
	}
	return NULL;
}

/* --------------------------------------------------------------- time-outs */

/* Unit of the time-out of GetCommand; see command_timeout(). */
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

/* INFINITE of Windows is a positive number if time_t has 64 bits. */
int64_t timeout_ms(time_t timeout)
{
	return timeout < 0 || timeout == (time_t)0xffffffff ? -1 : timeout;
}

/*
 * The documentation of the SDK says milliseconds. But its own sample passes 90
 * to GetCommand, says 90 seconds in a comment, and takes a time-out for the end
 * of the data. In milliseconds, any pause of the database, or a slow machine,
 * would end its restore with a truncated database. So by default a number below
 * 1000 is taken as seconds. A program that does mean milliseconds then waits
 * longer if no command comes; each command, the close of the device and an
 * abort still end the wait at once.
 *
 * GetConfiguration is not affected: documentation and samples agree on
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

	pthread_mutex_t life;		/* held to change what follows */
	bool is_open;
	pid_t pid;			/* process that opened it */
	Unit unit;

	pthread_mutex_t opening;	/* what follows */
	unsigned int count;
	Entry *devices[64];		/* devices of the set that is or was open */

	int done(const char *call, int code);
	bool forked() const;
	void forget_devices();
	int open(const char *call, const char *name, const VDConfig *config,
		 const struct vdi_access *access);
	int open_device(const char *name, ClientVirtualDevice **out,
			uintptr_t *handle);
	int close(Entry *own);
};

/* The entry of a device; the rest is in libvdi. */
struct Device {
	Set *set;			/* forgets its devices before it ends */
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

/* Is this the copy of a forked child? */
bool Set::forked() const
{
	return __atomic_load_n(&is_open, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&pid, __ATOMIC_RELAXED) != getpid();
}

/* Before libvdi does. */
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
 * Set *handle to that of a new device. libvdi is called with the lock held: so
 * the device is in the list before another set can be opened.
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
 * In the child there are no threads of the parent: their locks are never
 * released, and their calls never end. Devices are outdated from now on, and
 * their entries are lost. Of the calls that the set's entry counts, only the
 * caller's is real.
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
 * The server's fields are no request of the client, although they are filled in
 * if a program uses the structure again.
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

/* No further call can enter; close() makes those of other threads return. */
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
