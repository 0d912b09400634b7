//! Hands a function to `vfio-pci`: `driver_override`, then `drivers_probe`.

use crate::sysfs::Device;
use crate::{OpenError, Sysfs};

const DRIVER: &str = "vfio-pci";

/// Binds `device` if nobody drives it yet, and returns its IOMMU group.
///
/// A function that another driver has is left alone: taking it away could hurt whoever uses it. The binding stays when this process ends,
/// as it costs nothing and the next run needs it; nothing but a reboot or `unbind` undoes it.
pub(super) fn to_vfio(sysfs: &Sysfs, device: &Device) -> Result<String, OpenError> {
    let address = device.address;
    let group = device.iommu_group.clone().ok_or(OpenError::NoIommuGroup { address })?;
    match device.driver.as_deref() {
        Some(DRIVER) => return Ok(group),
        Some(other) => return Err(OpenError::OtherDriver { address, driver: other.to_owned() }),
        None => {}
    }
    if !sysfs.bus().join("drivers").join(DRIVER).exists() {
        return Err(OpenError::NoVfioDriver { address });
    }
    sysfs.write(&sysfs.folder(address).join("driver_override"), DRIVER)?;
    sysfs.write(&sysfs.bus().join("drivers_probe"), &address.to_string())?;
    match sysfs.device(address)?.driver.as_deref() {
        Some(DRIVER) => Ok(group),
        _ => Err(OpenError::NotTaken { address }),
    }
}
