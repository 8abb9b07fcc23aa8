using 'main.bicep'

// What differs between installations comes from the environment, so that azd and the Azure CLI read the same file.
param name = readEnvironmentVariable('DICOM_NAME', 'dicom')
param authentication = readEnvironmentVariable('DICOM_AUTHENTICATION', 'entra')
param audience = readEnvironmentVariable('DICOM_AUDIENCE', '')
param corsOrigins = readEnvironmentVariable('DICOM_CORS_ORIGINS', '')
param publicUrl = readEnvironmentVariable('DICOM_PUBLIC_URL', '')
param storageSku = readEnvironmentVariable('DICOM_STORAGE_SKU', 'Standard_LRS')
param privateNetwork = bool(readEnvironmentVariable('DICOM_PRIVATE_NETWORK', 'false'))
param alertEmail = readEnvironmentVariable('DICOM_ALERT_EMAIL', '')
