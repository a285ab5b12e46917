/* Device memory for torch, taken from one reservation of addresses.
 *
 * Freed blocks are kept by size and stream and given again on the same stream only. kh_drain, which
 * is called with the device at rest, joins them: the joined memory is given to any stream and for
 * any size, and what lies behind the last live block goes back to the driver. Without that, calls
 * of many shapes would each keep memory of their own.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int (*create_fn)(unsigned long long *, size_t, const void *, unsigned long long);
typedef int (*map_fn)(uint64_t, size_t, size_t, unsigned long long, unsigned long long);
typedef int (*access_fn)(uint64_t, size_t, const void *, size_t);
typedef int (*reserve_fn)(uint64_t *, size_t, size_t, uint64_t, unsigned long long);
typedef int (*mode_fn)(int *);
typedef int (*unmap_fn)(uint64_t, size_t);
typedef int (*release_fn)(unsigned long long);

struct location { int type, id; };
struct properties { int type, handles; struct location location; void *win; unsigned char flags[8]; };
struct access { struct location location; int flags; };
/* `rested`: free, and used by no stream any more. */
struct block { uint64_t address, size, serial; void *stream; int live, shared, rested; };
struct chunk { uint64_t begin, size; unsigned long long handle; };

#define MOST_BLOCKS 262144
#define MOST_CHUNKS 65536
#define SMALLEST 512ull
#define GRANULE (2ull << 20)
#define CHUNK (64ull << 20)
#define KEPT (256ull << 20) /* mapped ahead, so that few calls need the driver */
#define RELAXED 2

static struct block blocks[MOST_BLOCKS]; /* by address */
static struct chunk chunks[MOST_CHUNKS]; /* one behind the other */
static size_t count, chunk_count;
static uint64_t base, limit, used, mapped, next_serial = 1;
static int failures;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static create_fn create;
static map_fn map;
static access_fn open_access;
static reserve_fn reserve;
static mode_fn exchange_mode;
static unmap_fn unmap;
static release_fn release;

/* Addresses from which memory is given; 0 when the driver's functions are there. */
int kh_setup(uint64_t begin, uint64_t bytes)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver) return -1;
    create = (create_fn)dlsym(driver, "cuMemCreate");
    map = (map_fn)dlsym(driver, "cuMemMap");
    open_access = (access_fn)dlsym(driver, "cuMemSetAccess");
    reserve = (reserve_fn)dlsym(driver, "cuMemAddressReserve");
    exchange_mode = (mode_fn)dlsym(driver, "cuThreadExchangeStreamCaptureMode");
    unmap = (unmap_fn)dlsym(driver, "cuMemUnmap");
    release = (release_fn)dlsym(driver, "cuMemRelease");
    if (!create || !map || !open_access || !reserve || !exchange_mode || !unmap || !release)
        return -2;
    base = begin;
    limit = bytes;
    return 0;
}

/* Gives back the chunks that begin at `least` or behind it. */
static void shrink(uint64_t least)
{
    while (chunk_count && chunks[chunk_count - 1].begin >= least) {
        struct chunk last = chunks[chunk_count - 1];
        if (unmap(base + last.begin, last.size)) return;
        release(last.handle);
        mapped = last.begin;
        chunk_count--;
    }
}

static int grow(uint64_t bytes, int device)
{
    static int reserved;
    struct properties properties = {1, 1, {1, device}, NULL, {0}};
    struct access access = {{1, device}, 3};
    unsigned long long handle;
    int mode = RELAXED, status;
    uint64_t size = (bytes + CHUNK - 1) / CHUNK * CHUNK, given = 0;
    if (mapped + size > limit || chunk_count == MOST_CHUNKS) return 1;
    if (exchange_mode(&mode)) return 2;
    status = 0;
    if (!reserved) {
        status = reserve(&given, limit, 0, base, 0);
        if (!status && given != base) status = 3;
        reserved = !status;
    }
    if (!status) status = create(&handle, size, &properties, 0);
    if (!status && (status = map(base + mapped, size, 0, handle, 0))) release(handle);
    if (!status) {
        status = open_access(base + mapped, size, &access, 1);
        chunks[chunk_count++] = (struct chunk){mapped, size, handle};
        mapped += size;
        if (status) shrink(mapped - size);
    }
    exchange_mode(&mode);
    return status;
}

static uint64_t rounded(uint64_t size)
{
    uint64_t step = size < GRANULE ? SMALLEST : GRANULE;
    return size ? (size + step - 1) / step * step : SMALLEST;
}

/* The free block of just this size on this stream, else the smallest rested one that holds it. */
static struct block *fitting(uint64_t size, const void *stream)
{
    struct block *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct block *one = &blocks[i];
        if (one->live || one->shared || one->size < size) continue;
        if (one->size == size && (one->rested || one->stream == stream)) return one;
        if (one->rested && (!best || one->size < best->size)) best = one;
    }
    return best;
}

/* Cuts a rested block to `size`; the rest stays free behind it. */
static void cut(struct block *one, uint64_t size)
{
    struct block rest = *one;
    if (one->size == size || count == MOST_BLOCKS) return;
    rest.address += size;
    rest.size -= size;
    memmove(one + 2, one + 1, (size_t)(blocks + count - (one + 1)) * sizeof *one);
    one[1] = rest;
    one->size = size;
    count++;
}

void *kh_alloc(size_t requested, int device, void *stream)
{
    uint64_t size = rounded(requested);
    pthread_mutex_lock(&lock);
    struct block *found = fitting(size, stream);
    uint64_t address = 0;
    if (found) {
        cut(found, size);
    } else if (count < MOST_BLOCKS) {
        uint64_t missing = used + size > mapped ? used + size - mapped : 0;
        int status = missing ? grow(missing, device) : 0;
        if (!status) {
            found = &blocks[count++];
            found->address = base + used;
            found->size = size;
            used += size;
        } else {
            failures = status;
        }
    }
    if (found) {
        found->live = 1;
        found->shared = found->rested = 0;
        found->stream = stream;
        found->serial = next_serial++;
        address = found->address; /* other threads move blocks as soon as they may */
    }
    pthread_mutex_unlock(&lock);
    return (void *)address;
}

static struct block *of(const void *pointer)
{
    for (size_t i = count; i-- > 0;)
        if (blocks[i].address == (uint64_t)pointer) return &blocks[i];
    return NULL;
}

void kh_free(void *pointer, size_t size, int device, void *stream)
{
    (void)size; (void)device; (void)stream;
    pthread_mutex_lock(&lock);
    struct block *found = of(pointer);
    if (found) found->live = 0;
    pthread_mutex_unlock(&lock);
}

void kh_record_stream(void *pointer, void *stream)
{
    pthread_mutex_lock(&lock);
    struct block *found = of(pointer);
    if (found && found->stream != stream) found->shared = 1;
    pthread_mutex_unlock(&lock);
}

/* With the device at rest: joins free blocks, and gives back what lies behind the last live one. */
void kh_drain(void)
{
    size_t kept = 0;
    int mode = RELAXED;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) {
        struct block one = blocks[i];
        if (!one.live) {
            one.shared = 0;
            one.rested = 1;
            if (kept && blocks[kept - 1].rested) {
                blocks[kept - 1].size += one.size;
                continue;
            }
        }
        blocks[kept++] = one;
    }
    if (kept && blocks[kept - 1].rested) used -= blocks[--kept].size;
    count = kept;
    if (!exchange_mode(&mode)) {
        shrink(used + KEPT);
        exchange_mode(&mode);
    }
    pthread_mutex_unlock(&lock);
}

/* Makes sure that `bytes` more can be given without a call of the driver. */
int kh_ready(uint64_t bytes, int device)
{
    pthread_mutex_lock(&lock);
    int status = used + bytes > mapped ? grow(used + bytes - mapped, device) : 0;
    pthread_mutex_unlock(&lock);
    return status;
}

/* The number that the next block given will have. */
uint64_t kh_serial(void) { return next_serial; }

/* What the driver said when memory could last not be given; 0 when it always could. */
int kh_failure(void) { return failures; }

/* Copies address, bytes, serial and liveness of up to `most` blocks; returns how many. */
size_t kh_blocks(uint64_t *into, size_t most)
{
    pthread_mutex_lock(&lock);
    size_t n = count < most ? count : most;
    for (size_t i = 0; i < n; i++) {
        into[4 * i] = blocks[i].address;
        into[4 * i + 1] = blocks[i].size;
        into[4 * i + 2] = blocks[i].serial;
        into[4 * i + 3] = (uint64_t)blocks[i].live;
    }
    pthread_mutex_unlock(&lock);
    return n;
}
