#include <openssl/sha.h>
#include <sqlite3.h>
#include <stdio.h>
#include <zlib.h>

int main(void) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256((const unsigned char *)"abc", 3, digest);
  printf("sha256 %02x%02x sqlite %s zlib %s\n", digest[0], digest[1], sqlite3_libversion(), zlibVersion());
  return 0;
}
