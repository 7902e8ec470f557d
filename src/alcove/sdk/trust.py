"""Whose certificates are believed: those whom this machine believes (`SSL_CERT_FILE` names
others), so that a server with a certificate of the company's own needs no setting here."""

import ssl


def trusted() -> ssl.SSLContext:
    """For connections to a server over TLS."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        # A Python that brings no authorities of its own and knows none of the system's.
        import certifi  # noqa: PLC0415 - by need

        context.load_verify_locations(certifi.where())
    return context
