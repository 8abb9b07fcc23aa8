metadata description = 'Private endpoints of what the app reaches, and the names by which they are found.'

@description('What their names begin with.')
param name string

@description('Where they are.')
param location string

@description('Their tags.')
param tags object

@description('Resource ID of the account.')
param storageId string

@description('Resource ID of the vault; empty for none.')
param vaultId string

@description('Resource ID of the topic that changes are published to; empty for none.')
param changesTopicId string

@description('Resource ID of the network in which the names are known.')
param networkId string

@description('Resource ID of the subnet that they are in.')
param subnetId string

// By the group that each resource knows its endpoints by.
var known = [
  { group: 'blob', id: storageId, zone: 'privatelink.blob.${environment().suffixes.storage}' }
  { group: 'queue', id: storageId, zone: 'privatelink.queue.${environment().suffixes.storage}' }
  { group: 'table', id: storageId, zone: 'privatelink.table.${environment().suffixes.storage}' }
  { group: 'vault', id: vaultId, zone: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}' }
  { group: 'topic', id: changesTopicId, zone: 'privatelink.eventgrid.azure.net' }
]
var services = filter(known, one => !empty(one.id))

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for service in services: {
  name: service.zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (service, i) in services: {
  parent: zones[i]
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [for service in services: {
  name: '${name}-${service.group}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: service.group
        properties: {
          privateLinkServiceId: service.id
          groupIds: [service.group]
        }
      }
    ]
  }
}]

resource groups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [for (service, i) in services: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: service.group
        properties: {
          privateDnsZoneId: zones[i].id
        }
      }
    ]
  }
}]
