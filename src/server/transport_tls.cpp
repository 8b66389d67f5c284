#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/asio/ssl.hpp>
#include <ctime>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/transport.h"

namespace polymath::server {
namespace {

namespace ssl = boost::asio::ssl;

class Tls final : public Transport {
 public:
  Tls(Socket socket, ssl::context& context) : stream_(std::move(socket), context) {}

  void handshake(std::function<void(const Error&)> done) override {
    stream_.async_handshake(ssl::stream_base::server, std::move(done));
  }
  void read_some(boost::asio::mutable_buffer buffer, Done done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void write_some(boost::asio::const_buffer buffer, Done done) override {
    stream_.async_write_some(buffer, std::move(done));
  }
  // OpenSSL treats input after our close_notify as an error, so none is sent while the peer may still send. The peer
  // needs none: the response has a length, and the session closes after its linger.
  void finish_writing(bool unread, std::shared_ptr<void> owner) override {
    if (!unread) stream_.async_shutdown([owner = std::move(owner)](const Error&) {});
  }
  Socket& socket() override { return stream_.next_layer(); }

 private:
  ssl::stream<Socket> stream_;
};

// The ALPN callback. OpenSSL fixes its parameters.
int choose_http11(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                  unsigned offered_size, void*) {
  static constexpr std::string_view kHttp11 = "http/1.1";
  for (unsigned at = 0; at < offered_size; at += 1u + offered[at]) {
    const std::string_view name(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (at + 1 + offered[at] > offered_size || name != kHttp11) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

std::unique_ptr<Transport> make_tls_transport(Socket socket, ssl::context& context) {
  return std::make_unique<Tls>(std::move(socket), context);
}

absl::StatusOr<TlsContext> make_tls_context(const TlsFiles& files) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_alpn_select_cb(native, choose_http11, nullptr);
  Transport::Error error;
  context->use_certificate_chain(boost::asio::buffer(files.certificate), error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("TLS certificate ", files.certificate_name, ": ", error.message()));
  }
  context->use_private_key(boost::asio::buffer(files.key), ssl::context::pem, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("TLS key ", files.key_name, ": ", error.message()));
  if (SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("TLS key ", files.key_name, " does not belong to ", files.certificate_name));
  }
  tm end{};
  ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(native)), &end);
  return TlsContext{std::move(context), static_cast<double>(timegm(&end))};
}

}  // namespace polymath::server
