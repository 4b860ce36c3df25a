//! What systemd is told (sd_notify(3)); nothing where it did not start us.

/// The router is configured.
pub(crate) fn ready() {
    // There is nobody else to tell if it fails.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// It is about to end.
pub(crate) fn stopping() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}
