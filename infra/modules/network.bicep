metadata description = 'A virtual network with one subnet for the app and one for private endpoints.'

@description('Name of the network.')
param name string

@description('Where it is.')
param location string

@description('Its tags.')
param tags object

@description('Its address range, at least a /24.')
param addressPrefix string

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          // Keys of the token issuer and telemetry are on the internet.
          defaultOutboundAccess: true
          delegations: [
            {
              name: 'flex-consumption'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 27, 2)
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}

@description('Resource ID of the network.')
output id string = network.id

@description('Resource ID of the subnet that the app is in.')
output appSubnetId string = '${network.id}/subnets/app'

@description('Resource ID of the subnet of the private endpoints.')
output endpointSubnetId string = '${network.id}/subnets/endpoints'
