"""Bad input: every field of every request, spoilt in every way, sent to two servers that must answer alike."""
