// A TLS round trip, with a certificate made here.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "server/http_server.h"
#include "server/test_client.h"

namespace polymath::server {
namespace {

struct CertificateFiles {
  std::string certificate, key;
  explicit CertificateFiles(long seconds = 365 * 86400) {
    const std::string stem = testing::TempDir() + "polymath_tls_" + std::to_string(getpid());
    certificate = stem + ".crt";
    key = stem + ".key";
    make(seconds, /*serial=*/1);
  }
  // A new pair in the same files.
  void make(long seconds, long serial) const {
    EVP_PKEY* const pair = EVP_EC_gen("P-256");
    X509* const x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    X509_set_pubkey(x, pair);
    X509_NAME* const name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509_sign(x, pair, EVP_sha256());
    std::FILE* file = std::fopen(certificate.c_str(), "w");
    PEM_write_X509(file, x);
    std::fclose(file);
    file = std::fopen(key.c_str(), "w");
    PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(x);
    EVP_PKEY_free(pair);
  }
  ~CertificateFiles() {
    unlink(certificate.c_str());
    unlink(key.c_str());
  }
};

class TlsClient {
 public:
  TlsClient(uint16_t port, int version_max, const char* suites = "ALL:@SECLEVEL=0")
      : tcp_(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_, version_max);
    SSL_CTX_set_cipher_list(context_, suites);
    static constexpr unsigned char kOffer[] = "\x02h2\x08http/1.1";
    SSL_CTX_set_alpn_protos(context_, kOffer, sizeof(kOffer) - 1);
    ssl_ = SSL_new(context_);
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    setsockopt(tcp_.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    SSL_set_fd(ssl_, tcp_.fd());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool connected() const { return connected_; }
  long serial() const {
    X509* const x = SSL_get1_peer_certificate(ssl_);
    const long out = x == nullptr ? 0 : ASN1_INTEGER_get(X509_get0_serialNumber(x));
    X509_free(x);
    return out;
  }
  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  void send(std::string_view bytes) { SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())); }
  std::string read_until(std::string_view text) {
    std::string out;
    char bytes[4096];
    while (out.find(text) == std::string::npos) {
      const int n = SSL_read(ssl_, bytes, sizeof(bytes));
      if (n <= 0) break;
      out.append(bytes, static_cast<size_t>(n));
    }
    return out;
  }
  int end() {  // the error of a read after the last byte
    char byte;
    const int n = SSL_read(ssl_, &byte, 1);
    return SSL_get_error(ssl_, n);
  }
  TestClient& tcp() { return tcp_; }

 private:
  TestClient tcp_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
};

HttpServerOptions tls_options(const CertificateFiles& files) {
  auto options = test_options();
  options.tls_certificate_file = files.certificate;
  options.tls_key_file = files.key;
  return options;
}

TEST(HttpTls, RoundTripsStreamsAndCloses) {
  const CertificateFiles files;
  TestSignal gone;
  HeldReply held;
  HttpServer server(tls_options(files));
  server.route("POST", "/echo", [](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", request.body);
  });
  server.route("GET", "/stream", [&](const HttpRequest&, std::shared_ptr<HttpReply> reply) {
    reply->on_gone([&] { gone.set(); });
    reply->start_stream(200, "text/event-stream", {});
    held.put(std::move(reply));
  });
  ASSERT_TRUE(server.start().ok());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ("http/1.1", client.alpn());
    const std::string body(100000, 'b');
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n" + body);
    EXPECT_EQ(body, body_of(client.read_until(body)));
    client.send("GET /stream HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    auto reply = held.take();
    reply->write("data: 1\n\n");
    EXPECT_NE("", client.read_until("data: 1"));
    reply->end();
    EXPECT_NE("", client.read_until("0\r\n\r\n"));
    EXPECT_EQ(SSL_ERROR_ZERO_RETURN, client.end()) << "a proper close_notify";
  }
  TlsClient leaver(server.port(), TLS1_3_VERSION);
  leaver.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  const auto reply = held.take();
  leaver.tcp().close();  // without a close_notify the peer is gone, even if nothing is written
  EXPECT_TRUE(gone.wait(1, 1500));
}

TEST(HttpTls, RefusesOldVersionsAndPlainText) {
  const CertificateFiles files;
  HttpServer server(tls_options(files));
  ASSERT_TRUE(server.start().ok());
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected());
  TestClient plain(server.port());
  plain.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(plain.closed_within(3000));
}

TEST(HttpTls, OnlyForwardSecrecyAndAead) {
  const CertificateFiles files;
  HttpServer server(tls_options(files));
  ASSERT_TRUE(server.start().ok());
  const struct {
    const char* suites;
    bool connects;
  } rows[] = {
      {"ECDHE-ECDSA-AES128-GCM-SHA256", true},
      {"ECDHE-ECDSA-CHACHA20-POLY1305", true},
      {"ECDHE-ECDSA-AES128-SHA256", false},  // CBC
      {"ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0", false},
      {"ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0", false},
      {"AES128-GCM-SHA256:AES256-SHA:@SECLEVEL=0", false},  // RSA key exchange
  };
  for (const auto& row : rows) {
    EXPECT_EQ(row.connects, TlsClient(server.port(), TLS1_2_VERSION, row.suites).connected()) << row.suites;
  }
}

// True: `serial` is the certificate of new connections within the time.
bool serves(const HttpServer& server, long serial, int timeout_ms = 3000) {
  for (int waited = 0; waited < timeout_ms; waited += 20) {
    if (TlsClient(server.port(), TLS1_3_VERSION).serial() == serial) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

TEST(HttpTls, ReadsAChangedCertificate) {
  const CertificateFiles files(3600);
  auto options = tls_options(files);
  options.tls_refresh = true;
  options.tls_check_s = 0.02;
  base::MetricsRegistry metrics;
  HttpServer server(options);
  server.set_metrics(metrics);
  testing::internal::CaptureStderr();
  ASSERT_TRUE(server.start().ok());
  TlsClient before(server.port(), TLS1_3_VERSION);
  EXPECT_EQ(1, before.serial());
  files.make(7200, 2);
  EXPECT_TRUE(serves(server, 2));
  std::ofstream(files.key) << "no key\n";
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(serves(server, 2)) << "a bad pair leaves the old one";
  files.make(-10, 3);
  EXPECT_TRUE(serves(server, 3));
  before.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_NE("", before.read_until("404")) << "an old connection lives on";
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(std::string::npos, log.find("expires in 0 days"));
  EXPECT_NE(std::string::npos, log.find("the TLS certificate stays as it was: ")) << log;
  EXPECT_NE(std::string::npos, log.find("has expired")) << log;
  EXPECT_NE(std::string::npos, metrics.render().find("polymath:tls_certificate_expiry_timestamp_seconds "));
}

TEST(HttpTls, BadFilesAreNamed) {
  const CertificateFiles files;
  auto options = tls_options(files);
  options.tls_certificate_file = "/nowhere.crt";
  absl::Status status = HttpServer(options).start();
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, status.code());
  EXPECT_NE(std::string::npos, std::string(status.message()).find("/nowhere.crt"));
  options = tls_options(files);
  options.tls_key_file = files.certificate;
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, HttpServer(options).start().code());
}

}  // namespace
}  // namespace polymath::server
