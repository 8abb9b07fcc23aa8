metadata description = 'A vault for the secrets that the service must show to others, each under the name of its app setting.'

@description('Name of the vault.')
param name string

@description('Where it is.')
param location string

@description('Its tags.')
param tags object

@description('Whether only a private endpoint reaches it.')
param isPrivate bool

@description('Secrets by the names of their settings; empty ones are left out.')
@secure()
param secrets object

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    enableSoftDelete: true
    // Whoever deletes it has to wait so long, or give it back, before the name can be used again.
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      // Secrets are written by Resource Manager, which is one of Azure's own services.
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }
}

resource secretList 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = [for one in filter(items(secrets), secret => !empty(secret.value)): {
  parent: vault
  name: one.key
  properties: {
    value: one.value
    attributes: {
      enabled: true
    }
  }
}]

@description('Resource ID of the vault.')
output id string = vault.id

@description('Name of the vault.')
output name string = vault.name
