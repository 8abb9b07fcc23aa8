# Tells the functions of new blobs, once they are there: the host needs a moment to make the key of its webhook.
$name = if ($env:DICOM_NAME) { $env:DICOM_NAME } else { 'dicom' }
foreach ($attempt in 1..10) {
    az deployment group create --name events --template-file infra/events.bicep --output none `
        --subscription $env:AZURE_SUBSCRIPTION_ID --resource-group $env:AZURE_RESOURCE_GROUP --parameters name=$name
    if ($LASTEXITCODE -eq 0) { exit 0 }
    Write-Warning "Attempt $attempt of 10 failed; again in 30 seconds."
    Start-Sleep -Seconds 30
}
Write-Error "No function is told of new blobs: repeat 'azd hooks run postdeploy' when the app answers."
exit 1
